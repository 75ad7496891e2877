"""A stage that was killed in its midst goes on, and its rows are those of a run that was not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from small_settings import SMALL

from rmlab.pipeline.plan import load_arms, plan
from rmlab.pipeline.run import run_nodes
from rmlab.pipeline.stages import STAGES as TABLE

pytestmark = pytest.mark.alone

STAGES = tuple(stage.name for stage in TABLE if stage.over_shards)
# What is killed waits at its third part, so that it is killed in the midst however fast it is.
SLOW = """
import os, time
from dataclasses import dataclass

from rmlab.embedders.hashing import HashingEmbedder
from rmlab.goldens.form import Length
from rmlab.samplers.transformers import TransformersSampler


def wait_at_third(call):
    calls = []

    def slow(*args):
        calls.append(1)
        if os.environ.get("WAITS") and len(calls) == 3:
            time.sleep(600)
        return call(*args)

    return slow


@dataclass(frozen=True)
class Sampler(TransformersSampler):
    def open(self, *args):
        session = super().open(*args)
        session.generate = wait_at_third(session.generate)
        return session


@dataclass(frozen=True)
class Golden(Length):
    def open(self, compute):
        return wait_at_third(super().open(compute))


@dataclass(frozen=True)
class Embedder(HashingEmbedder):
    def open(self, *args):
        session = super().open(*args)
        session.embed = wait_at_third(session.embed)
        return session
"""
OVERRIDES = (
    *SMALL,
    "sft=none",
    "sampler=slow",
    "golden=[slow]",
    "embedder=slow",
    "allow_modules=[slow_parts]",
    "prompts_per_shard=4",
    "arms=[]",
)


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "slow_parts.py").write_text(SLOW)
    for group, text in {
        "sampler": "_target_: slow_parts.Sampler",
        "golden": "# @package golden.slow\n_target_: slow_parts.Golden",
        "embedder": "_target_: slow_parts.Embedder",
    }.items():
        folder = tmp_path / "conf" / group
        folder.mkdir(parents=True)
        (folder / "slow.yaml").write_text(text + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "slow_parts", raising=False)
    return tmp_path


def start(own, stage, **environment):
    command = [sys.executable, "-m", "rmlab", stage, *OVERRIDES, "workers=1"]
    return subprocess.Popen(
        [*command, "--config-dir", str(own / "conf"), f"out={own / 'o'}"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(own), str(Path.cwd())]), **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def kill_in_the_midst(own, stage):
    process = start(own, stage, WAITS="1")
    while process.poll() is None and not list(own.glob(f"o/{stage}/*/part-00000.parquet")):
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert process.returncode == -9
    assert not list(own.glob(f"o/{stage}/*/manifest.json"))
    return {p: p.stat().st_mtime_ns for p in own.glob(f"o/{stage}/*/part-*.parquet")}


@pytest.mark.slow
def test_a_killed_stage_goes_on_to_the_rows_of_one_that_was_not(own):
    nodes = plan(load_arms([*OVERRIDES, f"out={own / 'whole'}"], own / "conf"))
    run_nodes([n for n in nodes if n.stage in ("prompts", *STAGES)], "test", quiet=True)
    for stage in STAGES:
        kept = kill_in_the_midst(own, stage)
        assert 1 <= len(kept) <= 2
        again = start(own, stage)
        _, err = again.communicate(timeout=60)
        assert again.returncode == 0, err
        assert all(path.stat().st_mtime_ns == at for path, at in kept.items())
        [whole], [resumed] = (list(own.glob(f"{o}/{stage}/*/")) for o in ("whole", "o"))
        names = sorted(p.name for p in whole.glob("part-*.parquet"))
        assert len(names) == 5 and names == sorted(p.name for p in resumed.glob("part-*.parquet"))
        assert all(pq.read_table(whole / n).equals(pq.read_table(resumed / n)) for n in names)
        a, b = (json.loads((folder / "manifest.json").read_text()) for folder in (whole, resumed))
        assert (a["counts"], a["metrics"], a["rows"]) == (b["counts"], b["metrics"], b["rows"])
        assert [f["sha256"] for f in a["files"]] == [f["sha256"] for f in b["files"]]
        assert not [
            p
            for p in resumed.iterdir()
            if p.name not in (*names, "manifest.json", ".manifest-copy.json", ".lock")
        ]
