"""The commands of the README's reward lab, run on a small experiment."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from small_settings import SMALL

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
LAB = README.partition("## The reward lab")[2].partition("\n## ")[0]
FITS = re.findall(r"^rmlab fit-rm experiment=demo (.+)$", LAB, flags=re.MULTILINE)
SWEEPS = re.findall(r"^rmlab sweep experiment=demo (.+)$", LAB, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def out(small_run, tmp_path_factory) -> Path:
    kept = shutil.ignore_patterns("fit_rm", "eval_rm", "report", "sft")
    return Path(shutil.copytree(small_run, tmp_path_factory.mktemp("readme") / "out", ignore=kept))


def test_there_are_commands_to_try():
    assert len(FITS) == 5 and len(SWEEPS) == 1


@pytest.mark.parametrize("command", FITS)
def test_a_fit_of_the_lab(cli, out, command):
    """Its budget is for larger sets; the small experiment has arms of several heads, too."""
    settings = [s for s in shlex.split(command) if not s.startswith("comparisons.n=")]
    result = cli("fit-rm", *SMALL, f"out={out}", *settings, "comparisons.n=30", "--json")
    assert result.code == 0, result.err
    assert {s["state"] for s in result.json["stages"]} == {"done"}


def test_the_sweep_of_the_lab_counts_its_cells(cli, tmp_path):
    result = cli("sweep", *SMALL, f"out={tmp_path}", *shlex.split(SWEEPS[0]))
    assert result.code == 0, result.err
    assert "36 cells" in result.out


def test_every_choice_of_the_lab_is_named():
    conf = Path(__file__).parents[1] / "conf"
    for group in ("pairing", "noise", "selection", "loss", "head"):
        for file in (conf / group).glob("*.yaml"):
            assert f"`{file.stem}`" in LAB, f"{group}={file.stem}"
