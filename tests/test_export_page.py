"""docs/export.md run as printed, on a tiny model."""

from __future__ import annotations

import gzip
import json

import pytest
from printed_pages import run_page

from rmlab import RewardModel


def test_the_page_runs_as_printed(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        {
            "prompt": f"Question {k}: how do I do it?",
            "chosen": f"I am glad to help with {k}.",
            "rejected": f"Find out yourself, {k}.",
        }
        for k in range(40)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "pairs.jsonl.gz").write_bytes(gzip.compress(lines.encode()))

    def tiny(lines):
        """Runs a block with the random model in the place of SmolLM2."""
        for program, *words in lines:
            assert program == "rmlab"
            small = ["model=random-tiny", "crossval.folds=2"] if "run" in words else []
            found = [str(p) for w in words for p in (sorted(tmp_path.glob(w)) if "*" in w else [w])]
            done = cli(*found, *small)
            assert done.code == 0, done.err
        return True

    names = run_page("export.md", cli, tiny)
    model = RewardModel.load("my-head")
    record = json.loads((tmp_path / "my-reward-model" / "rmlab_export.json").read_text())
    expected = model.score(["How do I do it?"], ["I am glad to help."])[0]
    assert names["reward"] + record["exported"]["constant"] == pytest.approx(expected, abs=1e-4)
    assert (tmp_path / "scores.parquet").exists()
