"""What annotate, embed, fit-rm and eval-rm hold of each response: a few numbers, and neither texts nor ids."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest

from rmlab.commands.run import run_command

BENCH = Path(__file__).parents[2] / "scripts" / "bench"
SMALL, LARGE = 5_000, 50_000  # responses; how far a stage reads ahead by chance is some 20 bytes of each
# bytes a response, at most; most of those of annotate and embed are the manifest, whose parts are small here
MOST = {"annotate": 70, "embed": 90, "fit_rm": 60, "eval_rm": 90}
BLOCK = 1000  # rows, where a stage works block by block: else all of so few would be one


@pytest.fixture
def small_blocks(monkeypatch):
    for name in ("metrics.base.CELLS", "stages.arms.AT_ONCE", "stages.responses.AT_ONCE"):
        monkeypatch.setattr(f"rmlab.{name}", BLOCK)
    for name in ("vectors", "scoring"):
        monkeypatch.setattr(f"rmlab.stages.{name}.ROWS_AT_ONCE", BLOCK)
    monkeypatch.setattr("rmlab.metrics.resamples.CELLS", 100 * BLOCK)
    monkeypatch.setattr("rmlab.metrics.resamples.KEPT", 0)
    monkeypatch.setattr("rmlab.stages.measuring.MAX_PAIRS", BLOCK)
    monkeypatch.setattr("rmlab.stages.gathering.MAX_PAIRS", BLOCK)
    monkeypatch.setattr("rmlab.stages.cuts.AT_MOST", 10 * BLOCK)
    monkeypatch.setattr("rmlab.stages.fitting.REFERENCE", BLOCK)
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
        run_command([stage], settings, False, True, False, None)
        return tracemalloc.get_traced_memory()[1] + counting.max_memory()
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)


def test_memory_hardly_grows_with_the_responses(small_blocks, tmp_path, monkeypatch, capsys):
    import load

    small = ["prompts_per_shard=20", "comparisons.n=500", "comparisons.n_validation=100", "arms=[]"]
    small += ["evaluation.resamples=100"]
    found = {}
    for rows in (2000, SMALL, LARGE):  # the first fills the caches
        folder = tmp_path / str(rows)
        folder.mkdir()
        monkeypatch.chdir(folder)
        load.write_prompts(folder / "prompts.parquet", rows)
        settings = [s for s in load.SETTINGS if not s.startswith("arms=")] + small
        run_command(["sample"], settings, False, True, False, None)
        found[rows] = {stage: peak(stage, settings) for stage in MOST}
    grown = {stage: (found[LARGE][stage] - found[SMALL][stage]) / (LARGE - SMALL) for stage in MOST}
    too_much = {stage: n for stage, n in grown.items() if n > MOST[stage]}
    assert not too_much, grown
