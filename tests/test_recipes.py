"""Each page of docs/recipes/ run as printed, and what it promises."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from printed_pages import ROOT, run_page
from sweep_helpers import TIMES, Inline
from threadpoolctl import threadpool_limits

import rmlab
from rmlab.config.grid import points
from rmlab.storage.artifact import Artifact
from rmlab.sweeps.plan import plan_sweep


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_recipe_is_run():
    pages = {page.name for page in (ROOT / "docs" / "recipes").iterdir()}
    text = Path(__file__).read_text(encoding="utf-8")
    assert pages and all(f'run_page("recipes/{page}"' in text for page in pages)
    index = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"docs/recipes/{page}" in index for page in pages)


def test_preference_pairs_become_a_reward_model_that_trains_a_policy(cli):
    names = run_page("recipes/preference_pairs.md", cli)
    assert names["scores"][0] > names["scores"][1] and names["likely"] > 0.8
    table = pq.read_table("scores.parquet").to_pandas()
    assert len(table) == 160 and "accuracy" in names["printed"][2]
    by_side = table.groupby("preference")["score"].mean()
    assert by_side[1.0] > by_side[0.0] + 1
    code = (
        "import rmlab, sys\n"
        "model = rmlab.RewardModel.load('my-reward-model')\n"
        "print(*model.score(['How do I do it?'] * 2, ['Glad to help.', 'I hate this.']))"
    )
    again = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    np.testing.assert_allclose([float(word) for word in again.stdout.split()], names["scores"], atol=1e-6)
    _train_by_grpo(cli)


def _train_by_grpo(cli) -> None:
    """Runs the page on TRL, in the folder in which the page on pairs has saved a model."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = run_page("recipes/trl_grpo.md", cli)
    trainer, log = names["trainer"], names["trainer"].state.log_history
    assert trainer.state.global_step == 1
    assert np.isfinite(log[0]["rewards/reward/mean"]) and np.isfinite(log[-1]["train_loss"])
    assert log[0]["reward"] == pytest.approx(log[0]["rewards/reward/mean"])


def test_losses_are_compared_under_noise(cli, monkeypatch):
    cells = Inline(monkeypatch)
    names = run_page("recipes/losses_under_noise.md", cli)
    assert len(cells.axes) == 8  # the call from Python runs none anew
    assert names["means"].shape[0] == 4 and set(names["means"]["cells"]) == {2}
    assert names["printed"][1].count("label_smoothing") == 2
    errors = names["heads"].groupby("noise.error")["error_rate"].mean()
    assert np.all(np.diff(errors) > 0.15)


@pytest.mark.slow
def test_parts_of_a_sweep_by_seed_are_the_whole_sweep(cli, monkeypatch):
    parts: list[subprocess.Popen] = []

    def at_the_same_time(lines: list[list[str]]) -> bool:
        """Each line in a process of its own, as on machines of their own."""
        if len(lines) == 1:
            return False
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        shutil.copytree("shared", "alone")
        for words in lines:
            command = [sys.executable, "-m", *words, "--workers", "1"]
            parts.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
        for part in parts:
            _, said = part.communicate()
            assert part.returncode == 0, said
        return True

    cells = Inline(monkeypatch)
    run_page("recipes/several_machines.md", cli, at_the_same_time)
    assert len(parts) == 3 and cells.axes == []  # the union fits nothing
    grid = ("experiment=smoke", "sft=none", "head=linear,directions", "seed=0,1,2")
    with threadpool_limits(1):  # as workers have: other numbers of threads round otherwise
        whole = rmlab.sweep(*grid, "out=alone", progress=False)
    assert len(cells.axes) == 6
    union = plan_sweep(points([*grid, "out=shared"]), 1).open()
    assert _rows(union) == _rows(whole.artifact)
    _union_of_copies(grid, union)
    assert len(cells.axes) == 6


def _rows(sweep: Artifact) -> str:
    """The rows of a sweep as JSON, without times and the folder that they were made in."""
    table = rmlab.read(sweep, "results", "arrow").drop_columns(TIMES)
    rows = [row | {"settings": {**json.loads(row["settings"]), "out": ""}} for row in table.to_pylist()]
    return json.dumps(sorted(rows, key=lambda row: (row["kind"], row["cell"])))


def _union_of_copies(grid: tuple[str, ...], union: Artifact) -> None:
    """The way without a shared folder: the folders of the parts are copied beside another run's artifacts."""
    shutil.rmtree("alone/sweep")
    for folder in Path("shared/sweep").glob("[!.]*"):
        if folder.name != union.path.name:
            shutil.copytree(folder, Path("alone/sweep") / folder.name)
    assert len(list(Path("alone/sweep").iterdir())) == 3
    copied = rmlab.sweep(*grid, "out=alone", progress=False)
    assert _rows(copied.artifact) == _rows(union)


def test_an_embedding_set_is_made_and_used(cli):
    names = run_page("recipes/embedding_set.md", cli)
    assert names["vectors"].shape == (len(names["responses"]), 64)
    assert "report: " in names["printed"][2]
    assert list(Path("artifacts/eval_rm").glob("embedding_set-*"))


def test_own_prompts_and_an_own_reward_become_a_report(cli, folder, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))  # as the page's PYTHONPATH=. does
    names = run_page("recipes/own_prompts.md", cli)
    planned, run = names["printed"]
    assert "planned" in planned and "done" not in planned
    assert names["best_first"].tolist() == [1, 2, 0]
    (line,) = [line for line in run.splitlines() if line.startswith("report: ")]
    report = Path(line.removeprefix("report: ")).read_text(encoding="utf-8")
    assert "warmth" in report and not list(Path("artifacts").glob("sft"))
    sys.modules.pop("my_reward")
