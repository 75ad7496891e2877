"""scripts/hh_tasks.py: prompts and demonstrations out of dialogues, none of a test dialogue in training."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from rmlab.data.prompts import read_demonstrations, read_prompts


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "scripts"))


def dialogue(*turns):
    speakers = ("Human", "Assistant")
    return "".join(f"\n\n{speakers[k % 2]}: {turn}" for k, turn in enumerate(turns))


def write(path, *pairs):
    rows = [
        {"chosen": dialogue(*turns, good), "rejected": dialogue(*turns, bad)} for turns, good, bad in pairs
    ]
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return path


def test_no_test_dialogue_is_trained_on(tmp_path, monkeypatch, capsys):
    import hh_tasks

    train = write(
        tmp_path / "train.jsonl.gz",
        (["How are you?"], "Well.", "Ill."),
        (["How are you?"], "Fine!", "Go away."),  # the same prompt again
        (["Tell me more"], "Of what?", "No."),  # its dialogue is tested
        (["Why?", "Because.", "Why that?"], "So it is.", "Stop."),
    )
    test = write(tmp_path / "test.jsonl.gz", (["Tell me more", "Of what?", "Of all"], "Gladly.", "No."))
    monkeypatch.setattr("sys.argv", ["hh_tasks.py", str(train), str(test), str(tmp_path / "out")])
    assert hh_tasks.main() == 0
    assert "2 train and 1 test prompts, 2 demonstrations" in (said := capsys.readouterr().out)
    assert "1 train records of test dialogues, 0 without information" in said
    prompts = read_prompts(tmp_path / "out" / "prompts.jsonl", 0.2)
    assert [(p.split, p.messages[-1]["content"]) for p in prompts] == [
        ("train", "How are you?"),
        ("train", "Why that?"),
        ("test", "Of all"),
    ]
    demonstrations = read_demonstrations(tmp_path / "out" / "demonstrations.jsonl", None)
    assert sorted(d.completion for d in demonstrations) == ["So it is.", "Well."]


def test_a_file_that_is_none_is_one_line(tmp_path, monkeypatch, capsys):
    import hh_tasks

    monkeypatch.setattr("sys.argv", ["hh_tasks.py", "no.jsonl.gz", "no.jsonl.gz", str(tmp_path / "out")])
    assert hh_tasks.main() == 3
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "out").exists()
