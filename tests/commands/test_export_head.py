"""rmlab export --head: what it writes, what it says, what it refuses."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from reward_models import linear_head, reward_model, small_model
from tokenizer_habits import HABITS

from rmlab import RewardModel
from rmlab.heads.fitted.several import EnsembleHead


@pytest.fixture
def saved(tmp_path):
    """The folder of a reward model, saved beside its base."""
    tokenizer = next(h for h in HABITS if h.name == "qwen").tokenizer()
    reward_model(small_model(tmp_path / "base", tokenizer)).save(tmp_path / "saved")
    return tmp_path / "saved"


def run_what_it_says(out: str) -> float:
    """The score that the printed Python prints."""
    code = "\n".join(line[2:] for line in out.split("use it:\n")[1].splitlines())
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "printed", "exec"), {})
    return float(printed.getvalue().strip(" []\n"))


def test_both_ways_are_told_and_give_the_same_score(saved, tmp_path, cli):
    expected = RewardModel.load(saved).score(["Hello"], ["Hi!"])[0]
    done = cli("export", tmp_path / "whole", "--to", "folder", "--head", saved)
    assert done.code == 0 and run_what_it_says(done.out) == pytest.approx(expected, abs=1e-4)
    done = cli("export", tmp_path / "rm", "--to", "transformers", "--head", saved, "--json")
    told = done.json
    assert done.code == 0 and told["difference"] < 1e-4 and told["max_tokens"] == 512
    done = cli("export", tmp_path / "rm2", "--to", "transformers", "--head", tmp_path / "whole")
    assert done.code == 0 and "which a classifier has no place for" in done.out
    assert run_what_it_says(done.out) + told["constant"] == pytest.approx(expected, abs=1e-4)


def test_what_cannot_be_exported_is_told_in_one_line(saved, tmp_path, cli):
    there = tmp_path / "there"
    there.mkdir()
    (there / "mine.txt").write_text("mine")
    to = ("--to", "transformers")
    refused = {
        "exists already; name a new folder": (there, *to, "--head", saved),
        "name it with --head": (tmp_path / "x", *to),
        "holds no reward model": (tmp_path / "x", *to, "--head", there),
        "leave out experiment=demo": (tmp_path / "x", "experiment=demo", *to, "--head", saved),
        "leave out --force": (tmp_path / "x", *to, "--head", saved, "--force"),
        "writes preferences and no head": (tmp_path / "x.jsonl", "--head", saved),
        "no such folder": (tmp_path / "x", *to, "--head", saved, "--base-model", "./gone"),
        "no device": (tmp_path / "x", *to, "--head", saved, "--device", "abacus"),
    }
    for line, arguments in refused.items():
        done = cli("export", *arguments)
        assert done.code in (2, 3) and line in done.line, (line, done.err)
        assert not (tmp_path / "x").exists()
    assert [p.name for p in there.iterdir()] == ["mine.txt"]


def test_a_head_that_is_not_linear_names_the_way_to_keep_it(saved, tmp_path, cli):
    head = EnsembleHead(members=(linear_head(32, 1), linear_head(32, 2)), combine="min")
    reward_model(tmp_path / "base", head=head).save(tmp_path / "least")
    done = cli("export", tmp_path / "x", "--to", "transformers", "--head", tmp_path / "least")
    assert "not linear" in done.line and "--to folder" in done.line
    done = cli("export", tmp_path / "x", "--to", "folder", "--head", tmp_path / "least")
    assert done.code == 0
    again = RewardModel.load(tmp_path / "x")
    np.testing.assert_array_equal(
        again.score(["a"], ["b"]), RewardModel.load(tmp_path / "least").score(["a"], ["b"])
    )


def test_another_base_is_refused(saved, tmp_path, cli):
    tokenizer = next(h for h in HABITS if h.name == "qwen").tokenizer()
    small_model(tmp_path / "other", tokenizer, seed=5)
    done = cli(
        "export", tmp_path / "x", "--to", "transformers", "--head", saved, "--base-model", tmp_path / "other"
    )
    assert "has other contents than the one that the head was fitted on" in done.line
    assert not (tmp_path / "x").exists()
