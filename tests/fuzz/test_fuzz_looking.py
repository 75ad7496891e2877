"""Hostile files, names and folders before the commands that only look: inspect and status."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from fuzz_case import check_line, fuzz, read
from hostile_parquet import parquet
from hostile_values import TEXTS, damaged, junk
from hypothesis import given
from hypothesis import strategies as st
from small_settings import SMALL

from rmlab.commands.inspect import describe
from rmlab.data.reader import read_rows
from rmlab.pipeline.plan import load_arms, plan
from rmlab.storage.files import plain

ROWS = [{"prompt_id": "a", "prompt": "one", "n": 1}, {"prompt_id": "b", "prompt": "two", "n": 2}]


def test_inspect(cases):
    met = cases("inspect")

    @fuzz
    @given(parquet(*ROWS), st.integers(0, 5))
    def run(content, rows):
        with met.folder() as place:
            (place / "a.parquet").write_bytes(content)
            found = read(lambda: describe(place / "a.parquet", rows))
            if found is not None:
                assert len(found["tables"][0]["sample"]) <= rows
                json.dumps(plain(found), default=str)

    run()


@pytest.fixture(scope="module")
def finished(small_run: Path) -> dict[str, Path]:
    return {stage: next(small_run.glob(f"{stage}/*/manifest.json")).parent for stage in ("prompts", "sample")}


def test_status(cases, small_run, finished):
    """Whatever lies where artifacts are, looking at their state ends in one line or a row for each."""
    met = cases("status")
    manifest = (finished["prompts"] / "manifest.json").read_bytes()
    names = st.sampled_from(["manifest.json", ".manifest-copy.json", "part-00000.parquet", ".work", "notes"])

    nodes = plan(load_arms([*SMALL, f"out={met.outside / 'case'}"]))

    @fuzz
    @given(st.lists(st.tuples(names, st.one_of(damaged(manifest), junk(), st.none())), max_size=3))
    def run(changes):
        with met.folder() as place:
            for stage, folder in finished.items():
                shutil.copytree(folder, place / stage / folder.name)
            target = place / "prompts" / finished["prompts"].name
            for name, content in changes:
                if (target / name).is_dir():
                    continue
                (target / name).unlink(missing_ok=True)
                (target / name).mkdir() if content is None else (target / name).write_bytes(content)
            for node in nodes:
                state = read(lambda node=node: node.state)
                if state is not None and state.why:
                    check_line(state.why)

    run()


def test_file_names(cases):
    """A name is no path, override or markup: the file is read, or its name is escaped in one line."""
    met = cases("file names")
    texts = TEXTS.filter(lambda t: 0 < len(t.encode("utf-8", "surrogatepass")) < 200)
    names = texts.map(lambda t: t.replace("/", "∕").replace("\0", "0").encode("utf-8", "replace").decode())
    endings = st.sampled_from([".jsonl", ".csv", ".parquet", ".json", ".jsonl.gz", ".txt", ""])

    @fuzz
    @given(names, endings, st.one_of(st.just(b'{"prompt": "a"}\n'), junk()))
    def run(name, ending, content):
        with met.folder() as place:
            (place / f"f{name}{ending}").write_bytes(content)
            read(lambda: list(read_rows(place / f"f{name}{ending}")))
            read(lambda: describe(place / f"f{name}{ending}", 3))

    run()
