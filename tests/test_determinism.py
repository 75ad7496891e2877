"""The same seed gives the same bits, whatever the process; the cut into shards and the workers change nothing."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import determinism_runs
import numpy as np
import pandas as pd
import pytest
from sweep_helpers import TIMES

from rmlab.pipeline.stages import STAGES

TIMED = {
    "seconds",
    "created",
    "folder",
    "place",
}  # of a manifest, of which there is a copy; the sweep's table has TIMES, and that of its report their means
DIFFERS = {
    "sweep": {"files"},
    "sweep_report": {"files", "inputs"},
    "study": {"inputs"},
}  # by those times
CUT = tuple(stage.name for stage in STAGES if stage.over_shards)


@pytest.fixture(scope="module")
def twice(tmp_path_factory) -> tuple[Path, Path]:
    """Everything run here, and meanwhile in a process that orders its sets otherwise."""
    here, there = (tmp_path_factory.mktemp(name) for name in ("here", "there"))
    tests = Path(__file__).parent
    search = os.pathsep.join([str(tests), str(tests.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": search, "PYTHONHASHSEED": "20"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        with subprocess.Popen(
            [sys.executable, determinism_runs.__file__], cwd=there, env=environment
        ) as other:
            determinism_runs.run_everything()
    assert other.returncode == 0
    return here, there


def files(folder: Path, stage: str) -> dict[str, Path]:
    """All data files of a stage by their names."""
    found = sorted(p for p in folder.glob(f"artifacts/*/{stage}/*/**/*") if p.is_file() and p.name[0] != ".")
    return {str(p.relative_to(folder)): p for p in found}


@pytest.mark.slow
@pytest.mark.parametrize("stage", [stage.name for stage in STAGES])
def test_the_same_seed_gives_the_same_bits(twice, stage):
    one, two = (files(folder, stage) for folder in twice)
    assert one.keys() == two.keys() and len(one) >= 2
    for name, path in one.items():
        if path.name == "manifest.json":
            a, b = (json.loads(p.read_text()) for p in (path, two[name]))
            drop = TIMED | {"sha256", "git"} | DIFFERS.get(stage, set())
            assert {k: v for k, v in a.items() if k not in drop} == {
                k: v for k, v in b.items() if k not in drop
            }
        elif path.name == "results.parquet":
            a, b = (pd.read_parquet(p).drop(columns=TIMES) for p in (path, two[name]))
            pd.testing.assert_frame_equal(a, b, check_exact=True)
        elif path.name == "sweep_means.parquet":
            a, b = (pd.read_parquet(p).query(f"metric not in {TIMES}") for p in (path, two[name]))
            assert len(a)
            pd.testing.assert_frame_equal(a, b, check_exact=True)
        else:
            assert digest(path) == digest(two[name]), name


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rows(artifact):
    return artifact.read().sort_by("response_id")


FEW = ("sft=none", f"arms={list(determinism_runs.HEADS[:3])}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One shard, one worker."""
    out = tmp_path_factory.mktemp("whole")
    return determinism_runs.run([*FEW, f"out={out}"], *CUT, "prompts", "fit_rm", "eval_rm")


@pytest.mark.parametrize(
    ("prompts_per_shard", "workers"),
    [
        (1, {"embed": 2}),
        pytest.param(5, {"annotate": 2}, marks=pytest.mark.slow),
        pytest.param(7, {"embed": 3}, marks=pytest.mark.slow),
    ],
)
def test_shards_and_workers_change_no_bit(whole, tmp_path, prompts_per_shard, workers):
    common = [*FEW, f"out={tmp_path}", f"prompts_per_shard={prompts_per_shard}"]
    cut = determinism_runs.run(common, "prompts", "sample")
    for stage in CUT[1:]:
        cut |= determinism_runs.run([*common, f"workers={workers.get(stage, 1)}"], stage)
    cut |= determinism_runs.run(common, "fit_rm", "eval_rm")
    assert cut.keys() == whole.keys() and len(cut["sample"].parts) == -(-18 // prompts_per_shard)
    for name, artifact in cut.items():
        before, now = whole[name].manifest, artifact.manifest
        assert (before.counts, before.metrics) == (now.counts, now.metrics), name
        if name.startswith(CUT):
            assert rows(whole[name]).equals(rows(artifact)), name
        else:
            assert {f.name: f.sha256 for f in before.files} == {f.name: f.sha256 for f in now.files}, name


def test_models_read_other_batches_and_agree_to_rounding(tmp_path):
    """A matrix product of other height may add in another order: some 2e-7 of a state of size 2.

    Heads that are fitted on such embeddings, and their scores in deviations, differ by a little more.
    """
    arms = "arms=['head=linear loss=bradley_terry','head=mlp head.epochs=3']"
    common = [*determinism_runs.MODELS, "sft=none", "sampling.max_new_tokens=24", arms]
    stages = ("prompts", *CUT, "fit_rm", "eval_rm")
    one, two = (
        determinism_runs.run([*common, f"prompts_per_shard={n}", f"out={tmp_path / str(n)}"], *stages)
        for n in (18, 5)
    )
    a, b, x, y = (rows(run[name]).to_pandas() for name in ("sample", "embed") for run in (one, two))
    pd.testing.assert_frame_equal(a.drop(columns="logprob"), b.drop(columns="logprob"), check_exact=True)
    np.testing.assert_allclose(a["logprob"], b["logprob"], atol=1e-5)  # a sum over 24 tokens
    np.testing.assert_allclose(np.stack(x["embedding"]), np.stack(y["embedding"]), atol=2e-6)
    assert rows(one["annotate:length"]).equals(rows(two["annotate:length"]))
    scores = [run["eval_rm"].read("head_scores").to_pandas() for run in (one, two)]
    np.testing.assert_allclose(scores[0]["score"], scores[1]["score"], atol=1e-4)
