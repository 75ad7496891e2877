"""Annotate, embed, fit-rm and eval-rm hold a few numbers of each response, and neither texts nor embeddings."""

from __future__ import annotations

import contextlib
import gc
import sys
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest

from rmlab.commands.run import run_command
from rmlab.pipeline.stages import BY_NAME, SAMPLE

BENCH = Path(__file__).parents[2] / "scripts" / "bench"
SMALL, LARGE = 5_000, 50_000  # responses; how far a stage reads ahead by chance is some 20 bytes of each
# bytes a response, at most; most of those of annotate and embed are the manifest, whose parts are small here
MOST = {"annotate": 70, "embed": 90, "fit_rm": 100, "eval_rm": 400}
SAME = {
    "annotate": 40,
    "embed": 60,
    "fit_rm": 100,
    "eval_rm": 400,
}  # the same, where parts are some times as long
BLOCK = 1000  # rows, where a stage works block by block: else all of so few would be one


@pytest.fixture
def small_blocks(monkeypatch):
    names = (
        "metrics.order.CELLS",
        "stages.eval_rm.AT_ONCE",
        "responses.vectors.ROWS_AT_ONCE",
    )
    for name in names:
        monkeypatch.setattr(f"rmlab.{name}", BLOCK)
    monkeypatch.setattr("rmlab.metrics.intervals.CELLS", 100 * BLOCK)
    monkeypatch.setattr("rmlab.metrics.intervals.KEPT", 0)
    monkeypatch.setattr("rmlab.evaluation.measure.MAX_PAIRS", BLOCK)
    monkeypatch.setattr("rmlab.evaluation.fit.REFERENCE", BLOCK)
    monkeypatch.syspath_prepend(str(BENCH))
    yield
    sys.modules.pop("load", None)


def peak(stage: str, settings: list[str]) -> int:
    """Bytes at the most, of Python, numpy and Arrow together, beside what is there before."""
    gc.collect()
    before = pa.default_memory_pool()
    counting = pa.proxy_memory_pool(before)
    pa.set_memory_pool(counting)
    tracemalloc.start()
    try:
        run_command(BY_NAME[stage], settings, False, True, False, None)
        return tracemalloc.get_traced_memory()[1] + counting.max_memory()
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)


def peaks(folder: Path, rows: int, *settings: str) -> dict[str, int]:
    """Of each stage, for so many responses if there are as many a prompt as in the benchmark."""
    import load

    folder.mkdir()
    load.write_prompts(folder / "prompts.parquet", rows)
    few = ["comparisons.n=500", "comparisons.n_validation=100", "arms=[]", "evaluation.resamples=100"]
    settings = [s for s in load.SETTINGS if not s.startswith("arms=")] + few + list(settings)
    with contextlib.chdir(folder):
        run_command(SAMPLE, settings, False, True, False, None)
        return {stage: peak(stage, settings) for stage in MOST}


def grown(small: dict[str, int], large: dict[str, int], rows: int) -> dict[str, float]:
    """Bytes a row."""
    return {stage: (large[stage] - small[stage]) / rows for stage in small}


@pytest.mark.slow
def test_memory_hardly_grows_with_the_prompts(small_blocks, tmp_path):
    peaks(tmp_path / "first", 2000, "prompts_per_shard=20")  # fills the caches
    small, large = (peaks(tmp_path / str(n), n, "prompts_per_shard=20") for n in (SMALL, LARGE))
    found = grown(small, large, LARGE - SMALL)
    assert not {stage: n for stage, n in found.items() if n > MOST[stage]}, found


@pytest.mark.slow
def test_memory_hardly_grows_with_the_responses_of_the_same_prompts(small_blocks, tmp_path):
    """fit-rm draws comparisons among all train responses; eval-rm holds a score of each for each arm."""
    few = ["prompts_per_shard=20"]
    many = ["prompts_per_shard=2", "sampling.n_train=100", "sampling.n_test=1000"]
    small, large = (peaks(tmp_path / how[0], SMALL, *how) for how in (few, many))
    found = grown(small, large, 9 * SMALL)
    assert not {stage: n for stage, n in found.items() if n > SAME[stage]}, found
