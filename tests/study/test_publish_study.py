"""What a study found, as README.md and docs/study.md show it: every figure is one of its tables."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import publish_study
from PIL import Image
from publish_study import BEGIN, END, MAIN, crossing, line, number, publish, small_picture

from rmlab.errors import InputError
from rmlab.study.finding import load_findings


def row(**more) -> dict:
    found = {
        "finding": "noise", "claim": "a beats b", "in_study": True, "effect": 0.0236, "low": -0.0468,
        "high": 0.1023, "verdict": "supported", "corrected": "undecided", "survives_holm": False,
        "at_edge": False, "n_in_favour": 7, "n_setups": 8, "n_seeds": 5, "n_prompts": 60, "detectable": 0.0991,
        "crossing": None, "crossing_low": None, "crossing_high": None, "reason": None,
    }  # fmt: skip
    return found | more


def made(tmp_path: Path, rows: list[dict]) -> SimpleNamespace:
    by_setup = [
        {"finding": r["finding"], "claim": r["claim"], "setup": "base · sentiment", "effect": 0.3, "low": 0.1, "high": 0.5}
        for r in rows
    ]  # fmt: skip
    tables = {"findings": pa.Table.from_pylist(rows), "findings_by_setup": pa.Table.from_pylist(by_setup)}
    command = "rmlab reproduce input=SET 'seed=range(0,5)' out=/some/where"
    manifest = SimpleNamespace(command=command)
    return SimpleNamespace(read=tables.__getitem__, manifest=manifest, path=tmp_path)


def test_a_row_shows_what_decides_its_word():
    shown = "| a beats b | +0.024 [−0.047, +0.102] | supported | 7 of 8 | 0.10 |"
    assert line(row()) == shown  # −0.05 would hide that its low end is above the bound
    assert "supported ★ (at the edge)" in line(row(survives_holm=True, at_edge=True))
    assert line(row(n_in_favour=None)).split("|")[4].strip() == ""
    failed = row(verdict="not run", effect=math.nan, reason="no seed is on both sides")
    assert line(failed) == "| a beats b | – | not run: no seed is on both sides | | |"
    assert number(-0.001) == number(0.001) == "0.00" and number(-0.01) == "−0.01"


def test_where_a_line_crosses_0_is_shown():
    assert crossing(row()) == ""
    found = row(crossing=0.12, crossing_low=0.08, crossing_high=math.inf)
    assert crossing(found) == "; the line crosses 0 at 0.12 [0.08, inf]"
    anywhere = row(crossing=0.12, crossing_low=-math.inf, crossing_high=math.inf)
    assert crossing(anywhere) == "; the line may cross 0 anywhere"


def test_the_rows_of_readme_are_claims_of_the_shipped_findings():
    shipped = [(f.name, c.statement) for f in load_findings() for c in f.claims]
    for finding, start in MAIN:
        assert sum(name == finding and text.startswith(start) for name, text in shipped) == 1, start


def test_pages_are_written_between_their_markers_and_checked(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(publish_study, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    pages = [tmp_path / "README.md", tmp_path / "docs" / "study.md"]
    rows = [row(finding=finding, claim=f"{start}, and more") for finding, start in MAIN]
    rows[0] |= {"verdict": "contradicted", "corrected": "contradicted", "survives_holm": True}
    artifact = made(tmp_path, [*rows, row(claim="ours", in_study=False)])
    for page in pages:
        page.write_text("no markers", encoding="utf-8")
    with pytest.raises(InputError, match="add the two markers"):
        publish(artifact, check=False)
    for page in pages:
        page.write_text(f"before\n{BEGIN}\nstale\n{END}\nafter\n", encoding="utf-8")
    assert publish(artifact, check=True) == 1 and "stale" in pages[0].read_text()
    assert publish(artifact, check=False) == 0 and publish(artifact, check=True) == 0
    readme, study = (page.read_text(encoding="utf-8") for page in pages)
    assert readme.startswith("before\n") and readme.endswith("after\n") and "stale" not in readme
    assert "after Holm's correction over all 7: 1 contradicted, 5 undecided." in readme
    assert "`rmlab reproduce input=SET 'seed=range(0,5)'`" in readme and "/some" not in readme + study
    assert "| ours |" not in readme and "| ours |" in study and "**+0.30**" in study
    widths = {text.count("|") for text in readme.splitlines() if text.startswith("|")}
    assert widths == {6}
    with pytest.raises(InputError, match="the study has no claim of best_of_n that begins with"):
        publish(made(tmp_path, rows[1:]), check=False)


def test_a_picture_gets_smaller_and_hardly_changes(tmp_path):
    shades = np.add.outer(np.arange(200), np.arange(300)) % 100
    whole = Image.fromarray(
        np.stack([shades, 255 - shades, shades, 255 + 0 * shades], axis=2).astype(np.uint8)
    )
    whole.save(tmp_path / "whole.png")
    small_picture(tmp_path / "whole.png", tmp_path / "small.png")
    assert (tmp_path / "small.png").stat().st_size < (tmp_path / "whole.png").stat().st_size
    before, after = (
        np.asarray(Image.open(tmp_path / f"{n}.png").convert("RGB"), int) for n in ("whole", "small")
    )
    assert before.shape == after.shape and np.abs(before - after).max() <= 8
