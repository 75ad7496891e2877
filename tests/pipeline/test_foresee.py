"""What would stop a run is told before anything runs: all of it at once, a line each, and nothing is written."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
from small_settings import SMALL

import rmlab
from rmlab.config import optional_packages as optional
from rmlab.pipeline import costs
from rmlab.storage.artifact import open_artifact

NO_SFT = "sft=none"


def lines_of(result) -> list[str]:
    """The problems; each is one line, and there is nothing else on standard error."""
    lines = result.err.splitlines()
    assert lines and all(line.startswith("rmlab: ") for line in lines), result.err
    return [line.removeprefix("rmlab: ") for line in lines]


@pytest.fixture
def nothing_optional(monkeypatch) -> None:
    """An environment without any extra of rmlab."""
    monkeypatch.setattr(optional, "is_installed", lambda package: False)


def test_a_dry_run_without_extras_names_all_that_is_missing(cli, tmp_path, monkeypatch, nothing_optional):
    monkeypatch.setenv("RMLAB_CACHE", str(tmp_path / "cache"))  # no model was converted there
    asked = (
        "experiment=demo",
        "sampler=vllm",
        "golden=[sentiment,descriptiveness]",
        "embedder=sentence",
        f"embedder.model={tmp_path / 'none'}",
        f"out={tmp_path / 'out'}",
    )
    result = cli("run", *asked, "--dry-run")
    told = lines_of(result)
    assert result.code == 3
    for needs in (
        "sft needs trl and datasets and peft; run: ",
        "sampler=vllm needs vllm; run: ",
        "golden=sentiment needs vaderSentiment; run: ",
        "golden=descriptiveness needs textblob; run: ",
        "head=trees needs lightgbm; run: ",
        "model=smollm2-135m-q4 needs gguf; run: ",
        f"model={tmp_path / 'none'}: no such folder",
    ):
        assert [line for line in told if line.startswith(needs)], needs
    assert len(told) == 7
    assert "sampler" not in result.out and "sample " in result.out  # the plan itself is shown too
    again = cli("run", *asked)
    assert again.code == 3 and lines_of(again) == told
    assert not (tmp_path / "out").exists()


def test_packages_that_cannot_be_found_are_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    assert not optional.is_installed("lightgbm") and not optional.is_installed("no_such_package_at_all")
    assert optional.is_installed("numpy")


SETTINGS = {
    "out=s3://bucket/runs": "out=s3://bucket/runs is no local folder; give one",
    "device=gpu": "device=gpu is no device; set device to auto, cpu, cuda or cuda:1",
    "comparisons.n=101": "asked for 101 comparisons, but only 100 distinct same-prompt pairs exist: lower",
    "comparisons.n=51 pairing=unpaired loss=unpaired": "only 50 distinct responses exist: lower comparisons.n",
    "comparisons.n=110 comparisons.budget=all": "gives 22 of comparisons.n=110 to validation",
    "teacher.n=90": "the teacher, of teacher.n, .head and .loss: among the prompts that the teacher leaves: ",
    "teacher.n=20 pairing=lists loss=choice head@teacher.head=linear loss@teacher.loss=choice comparisons.n=20": (
        "a teacher answers pairs alone, not comparisons of kind list"
    ),
    "head=trees loss=hinge": "add loss=classification or loss=bradley_terry",
    "pairing=lists comparisons.n=20": "bradley_terry compares 2 responses, not 4: use",
}


@pytest.mark.parametrize("overrides", SETTINGS)
def test_settings_that_cannot_be_before_anything_is_sampled(cli, tmp_path, monkeypatch, overrides):
    monkeypatch.chdir(tmp_path)
    out = [] if "out=" in overrides else ["out=here"]
    result = cli("run", *SMALL, "device=auto", "arms=[]", *out, *overrides.split())
    assert result.code == 2 and SETTINGS[overrides] in result.line
    assert list(tmp_path.iterdir()) == []


def test_a_gpu_that_is_not_there(cli, tmp_path, monkeypatch):
    """One line for all the stages that would use it; a machine with too few GPUs for a training."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    asked = (*SMALL, f"out={tmp_path / 'out'}", "model=random-tiny", "sampler=transformers", "--dry-run")
    result = cli("run", *asked, "device=cuda", "embedder=transformers")
    assert result.code == 3
    assert lines_of(result) == [
        "device=cuda, but this machine shows no CUDA GPU; set device=auto or device=cpu"
    ]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    few = cli("run", *asked, "sft.devices=4")
    assert few.code == 3
    assert lines_of(few) == ["sft.devices=4: this machine shows 2 GPUs; set sft.devices to fewer"]
    beyond = cli("run", *asked, "device=cuda:2", NO_SFT)
    assert lines_of(beyond) == ["device=cuda:2, but this machine shows 2 GPUs; set device=cuda:1 or less"]
    assert not (tmp_path / "out").exists()


def test_what_arms_cannot_be_is_told_of_each(cli, tmp_path):
    """And what none of them can be, once. Settings go before what is missing in the exit code."""
    arms = "arms=['head=trees loss=hinge','loss=choice','head=mlp head.hidden=[0]','pairing=lists']"
    asked = (*SMALL, arms, "comparisons.n=2000", "pairing=same_prompt", f"out={tmp_path / 'out'}")
    result = cli("run", *asked, "demonstrations.path=gone.jsonl", "--dry-run", "--json")
    told = lines_of(result)
    assert result.code == 2
    assert [line.partition(":")[0] for line in told] == [
        "gone.jsonl does not exist; give a JSONL, CSV or Parquet file",
        "head",
        "arm trees-hinge",
        "asked for 2000 comparisons, but only 100 distinct same-prompt pairs exist",
    ]
    assert result.json["problems"][0] == {
        "kind": "missing",
        "message": "gone.jsonl does not exist",
        "mend": "give a JSONL, CSV or Parquet file",
    }
    assert [p["kind"] for p in result.json["problems"]] == ["missing", "settings", "settings", "settings"]


def test_what_is_done_needs_nothing(cli, small_run, tmp_path, nothing_optional):
    """The artifacts are there, so that no package is missing for them; a head that is not is another matter."""
    out = shutil.copytree(small_run, tmp_path / "out")
    assert cli("run", *SMALL, f"out={out}", "--dry-run").code == 0
    assert cli("sample", *SMALL, f"out={out}").code == 0
    more = cli("fit-rm", *SMALL, f"out={out}", "seed=5", "--dry-run")
    assert more.code == 3 and more.line.startswith("rmlab: head=trees needs lightgbm; run: ")


def test_a_stage_alone_names_all_inputs_that_are_not_done(cli, tmp_path):
    result = cli("fit-rm", *SMALL, NO_SFT, "arms=[]", f"out={tmp_path / 'out'}", "--dry-run")
    assert result.code == 3
    assert [line.split("`")[1] for line in lines_of(result)] == [
        "rmlab sample",
        "rmlab annotate",
        "rmlab embed",
    ]


def test_score_tells_all_that_is_wrong_at_once(cli, tmp_path):
    result = cli(
        "score", tmp_path / "none.jsonl", "--head", tmp_path / "head", "--out", "x.csv", "--device", "gpu"
    )
    told = lines_of(result)
    assert result.code == 2 and len(told) == 4
    assert "write a file that ends with .parquet or .jsonl" in told[0] and "device=gpu" in told[1]
    assert str(Path(tmp_path / "head")) in told[2] and "none.jsonl" in told[3]


def test_a_dry_run_tells_about_how_long_it_takes_and_how_much_it_writes(cli, out, tmp_path):
    """By earlier artifacts where there are some; embeddings by their number and width."""
    new = cli("run", *SMALL, f"out={tmp_path / 'out'}", "--dry-run", "--json").json["costs"]
    assert (
        new["seconds"] == 0 and "sft" in new["unknown_time"] and "sft" in new["unknown_size"]
    )  # no such model was timed
    wide = cli("embed", *SMALL, f"out={out}", "embedder.dimension=6400", "--dry-run", "--json")
    [embed] = (open_artifact(path).manifest for path in (out / "embed").iterdir())
    assert (
        wide.json["costs"]["seconds"] == pytest.approx(embed.seconds)
        and not wide.json["costs"]["unknown_time"]
    )
    bigger = cli("run", *SMALL, f"out={tmp_path / 'out'}", "embedder.dimension=6400", "--dry-run", "--json")
    responses = 12 * 5 + 6 * 6
    assert bigger.json["costs"]["bytes"] - new["bytes"] == responses * 4 * (6400 - 64)


def test_a_disk_without_room_for_the_embeddings(cli, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=20_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    result = cli("run", *SMALL, NO_SFT, f"out={tmp_path / 'out'}")
    assert result.code == 3 and "the embeddings of this plan take 24.6 kB, and " in result.line
    assert "has 20.0 kB free; free some" in result.line and not (tmp_path / "out").exists()


def test_times_of_a_model_that_was_measured_are_told(cli, tmp_path, monkeypatch):
    monkeypatch.setattr(costs, "available_cores", lambda: 2)
    monkeypatch.setattr(costs, "has_gpu", lambda: False)
    asked = ("experiment=demo", f"out={tmp_path / 'out'}", "--dry-run")
    found = cli("run", *asked, "--json").json["costs"]
    tokens = (110 * 6 + 60 * 16) * 24
    assert found["seconds"] == pytest.approx(48 + tokens / 231 + tokens / 370)
    assert {"annotate", "eval_rm", "report"} < set(found["unknown_time"])
    told = cli("run", *asked).out.splitlines()[-1]
    assert told.startswith("to make: about 5.4 minutes (prompts, annotate, ")


OWN_PAIRING = '''
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rmlab.comparisons import Comparisons


@dataclass(frozen=True)
class Near:
    """Compares responses to a prompt whose golden rewards are near each other; refuses those that are far out."""

    name: ClassVar[str] = "near"

    def _pairs(self, pool):
        if pool.golden.max() > self.most:
            raise ValueError("a golden reward of which this pairing knows nothing")
        i, j = np.triu_indices(len(pool), 1)
        ok = (pool.group[i] == pool.group[j]) & (abs(pool.golden[i] - pool.golden[j]) < 1.5)
        return np.stack([i[ok], j[ok]], axis=1)

    most: float = np.inf

    def capacity(self, pool):
        return len(self._pairs(pool))

    def __call__(self, pool, n, rng):
        items = rng.permutation(self._pairs(pool))[:n]
        return Comparisons(items=items, group=pool.group[items[:, 0]])
'''


@pytest.mark.parametrize("most", ["1e9", "30"])
def test_a_pairing_of_the_users_own_is_not_judged_by_imagined_rewards(cli, tmp_path, monkeypatch, most):
    """Its capacity hangs on golden rewards, and it may not take those that are imagined."""
    (tmp_path / "near_pairing.py").write_text(OWN_PAIRING)
    (tmp_path / "conf" / "pairing").mkdir(parents=True)
    (tmp_path / "conf" / "pairing" / "near.yaml").write_text("_target_: near_pairing.Near\n")
    monkeypatch.syspath_prepend(tmp_path)
    own = ("--config-dir", tmp_path / "conf", "allow_modules=[near_pairing]", "pairing=near")
    asked = (*SMALL, NO_SFT, "arms=[]", f"+pairing.most={most}", f"out={tmp_path / 'out'}")
    result = cli("run", *own, *asked, "--dry-run")
    assert result.code == 0, result.err


def test_folds_leave_too_few_responses(cli, tmp_path):
    """All train prompts have as many pairs as are asked for; those that a fold leaves have fewer."""
    few = ["prompts.n_test=3", "sampling.n_test=2", "crossval.folds=3"]
    settings = [*SMALL, NO_SFT, *few, f"out={tmp_path / 'out'}", "--dry-run"]
    found = cli("run", *settings, "comparisons.n=100000").err
    most = [int(n) for n in re.findall(r"only (\d+) distinct", found)]
    assert len(most) == 2 and min(most) > 0
    result = cli("run", *settings, f"comparisons.n={max(most)}")
    [line] = lines_of(result)
    assert result.code == 2 and f"without one of 3 folds: asked for {max(most)}" in line


def test_too_few_groups_for_the_folds(cli, tmp_path):
    result = cli("run", *SMALL, NO_SFT, "crossval.folds=30", f"out={tmp_path / 'out'}", "--dry-run")
    assert result.code == 3
    assert lines_of(result) == [
        "30 folds need 30 groups of prompts and there are 18; lower crossval.folds, or set crossval.folds=null"
    ]


def test_a_component_says_what_it_asks_of_the_machine(cli, tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(optional, "is_installed", lambda package: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    vllm = ("sampler=vllm", "sampler.tensor_parallel_size=2", "model=random-tiny")
    result = cli("run", *SMALL, NO_SFT, *vllm, f"out={tmp_path / 'out'}", "--dry-run")
    assert result.code == 3 and "tensor_parallel_size=2" in result.line


def test_fewer_prompts_than_equal_n_needs(cli, tmp_path):
    equal = (
        "pairing=response_sets",
        "pairing.equal_n=true",
        "comparisons.n=null",
        "comparisons.n_validation=null",
    )
    result = cli("run", *SMALL, NO_SFT, "arms=[]", *equal, f"out={tmp_path / 'out'}", "--dry-run")
    assert result.code == 2 and "at most, and fewer than 10 pairs are too few" in result.line


def test_a_set_of_embeddings_that_is_half_written_needs_room_for_the_rest_alone(cli, tmp_path, monkeypatch):
    asked = (*SMALL, NO_SFT, f"out={tmp_path / 'out'}", "--dry-run")
    embed = next(stage for stage in cli("run", *asked, "--json").json["stages"] if stage["stage"] == "embed")
    usage = shutil.disk_usage(tmp_path)._replace(free=20_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    assert cli("run", *asked).code == 3
    Path(embed["path"]).mkdir(parents=True)
    assert cli("run", *asked).code == 0


def test_a_file_whose_columns_have_other_names(cli, tmp_path):
    """It is found in a file of pairs too, whose number of responses is known only when it is read."""
    (tmp_path / "pairs.jsonl").write_text('{"question": "a", "better": "b", "worse": "c"}\n' * 9)
    pairs = ("experiment=human_preferences", f"input={tmp_path / 'pairs.jsonl'}", "embedder=hashing")
    result = cli("run", *pairs, f"out={tmp_path / 'out'}", "--dry-run")
    assert result.code == 3 and "no 'prompt'; the row has better" in result.line


def test_a_fault_of_a_check_is_no_silence(tmp_path, monkeypatch):
    """Only the user's own code may fail on what is imagined; a fault of rmlab's own is seen."""
    monkeypatch.setattr("rmlab.evaluation.feasible.check_recipe", lambda *given: given.nothing)
    with pytest.raises(AttributeError):
        rmlab.run(*SMALL, NO_SFT, "arms=[]", f"out={tmp_path / 'out'}", dry_run=True)
