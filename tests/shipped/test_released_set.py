"""The set in data/released is what its record says, and a slice of it that is made again is the same."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from slice_again import compare, untuned
from small_settings import SMALL

from rmlab.commands.release import release_command
from rmlab.data.prompts import text_id
from rmlab.sets.validate import validate
from rmlab.storage.files import write_parquet
from rmlab.storage.set_record import PROMPTS_FILE, open_set

RELEASED = Path(__file__).parents[2] / "data" / "released"
SETS = sorted(file.parent for file in RELEASED.glob("*/set.json"))
MOST_BYTES = 32_000_000


def test_a_set_is_shipped():
    assert SETS, "there is no set in data/released: make release-data"


@pytest.mark.parametrize("folder", SETS, ids=lambda f: f.name)
def test_the_released_set_is_valid_and_small(folder):
    assert validate(folder).failures == []
    assert sum(file.stat().st_size for file in folder.iterdir()) <= MOST_BYTES


@pytest.mark.parametrize("folder", SETS, ids=lambda f: f.name)
def test_no_near_copy_of_its_test_prompts_is_in_train(folder):
    prompts = pq.read_table(folder / PROMPTS_FILE).to_pylist()
    texts = {s: {text_id(p["messages"]) for p in prompts if p["split"] == s} for s in ("train", "test")}
    assert texts["train"] and texts["test"] and not texts["train"] & texts["test"]


@pytest.mark.slow
@pytest.mark.parametrize("folder", SETS, ids=lambda f: f.name)
def test_a_slice_made_again_is_the_same(folder):
    opened = open_set(folder)
    for policy in untuned(opened):
        found = compare(opened, policy, n_prompts=2, n_samples=3)
        assert found.wrong == [] and found.near_ties <= 1
        assert (found.texts, found.scores, found.vectors) == (
            6,
            6 * len(opened.names("rewards")),
            6 * len(opened.names("embedders")),
        )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A set of a real sampler and embedder, with a model of random weights."""
    folder = tmp_path_factory.mktemp("tiny")
    settings = [
        *SMALL,
        "sampler=transformers",
        "embedder=transformers",
        "release.embedders=['model: embedder=transformers','other: embedder.layer=1']",
        "sft=none",
        "release.license=CC-BY-4.0",
        f"out={folder / 'artifacts'}",
    ]
    release_command(folder / "set", settings, False, True, False, None)
    return folder / "set"


def test_a_slice_of_a_tiny_set_made_again_is_the_same(tiny):
    opened = open_set(tiny)
    [policy] = untuned(opened)
    found = compare(opened, policy, n_prompts=4, n_samples=3)
    assert found.wrong == [] and found.near_ties == 0
    assert (found.texts, found.scores, found.vectors) == (12, 24, 24)


CHANGES = {
    "responses-base.parquet": ("text", "another text", "instead of"),
    "scores-base.parquet": ("score", 77.0, "is"),
    "embeddings-base-model.parquet": ("embedding", None, "model is"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_slice_that_differs_is_told(tiny, name):
    column, value, message = CHANGES[name]
    whole = pq.read_table(tiny / name)
    rows = whole.to_pylist()
    rows[0][column] = value if value is not None else [(v + 2) % 100 for v in rows[0][column]]
    try:
        write_parquet(tiny / name, pa.Table.from_pylist(rows, whole.schema))
        opened = open_set(tiny)
        found = compare(opened, untuned(opened)[0], n_prompts=2, n_samples=2)
        assert found.wrong and all(message in line for line in found.wrong[:1])
    finally:
        write_parquet(tiny / name, whole)
