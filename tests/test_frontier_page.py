"""docs/frontier.md run as printed, on fewer prompts."""

from __future__ import annotations

from pathlib import Path

from printed_pages import ROOT, run_page
from small_settings import TINY


def test_the_page_runs_as_printed(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("SET").symlink_to(next((ROOT / "data" / "released").iterdir()))
    few = [word for word in TINY if not word.startswith(("experiment", "sampling.n_test"))]

    def small(lines):
        for program, *words in lines:
            assert program == "rmlab"
            of_set = any(word.startswith("input=") for word in words)
            done = cli(*words, *(['arms=["head=linear"]', "evaluation.resamples=50"] if of_set else few))
            assert done.code == 0, f"{words}: {done.err}"
            said = "exact" if "sampling.top_p=1" in words else "truncated"
            assert f"reference: {said}" in done.out
        return True

    points = run_page("frontier.md", cli, small)["points"]
    assert len(points) and (points["reference"] == "exact").all()
    assert {"linear-bradley_terry", "sentiment"} <= set(points["arm"])
