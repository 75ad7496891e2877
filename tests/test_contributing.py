"""The examples of CONTRIBUTING.md, run as they stand there, as a user's own package."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from small_settings import SMALL

PAGE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
IMPORTS = """
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rmlab.comparisons import Comparisons, Pool
from rmlab.compute import Compute
from rmlab.goldens.base import Scorer

"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A package `mine` with the examples, and a folder of settings that names them."""
    (tmp_path / "mine").mkdir()
    for place, code in re.findall(r"`rmlab/(\w+/\w+)\.py`:\n```python\n(.*?)```", PAGE, flags=re.DOTALL):
        (tmp_path / "mine" / f"{place.split('/')[1]}.py").write_text(IMPORTS + code)
    for group, name, text in re.findall(
        r"`conf/(\w+)/(\w+)\.yaml`[^\n]*\n```yaml\n(.*?)```", PAGE, flags=re.DOTALL
    ):
        (tmp_path / "conf" / group).mkdir(parents=True, exist_ok=True)
        text = re.sub(r"rmlab\.\w+\.", "mine.", text)
        (tmp_path / "conf" / group / f"{name}.yaml").write_text(text)
    (tmp_path / "conf" / "pairing").mkdir()
    (tmp_path / "conf" / "pairing" / "consecutive.yaml").write_text(
        "_target_: mine.consecutive.Consecutive\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [n for n in sys.modules if n.partition(".")[0] == "mine"]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


@pytest.mark.parametrize(
    "override", ["loss=exponential", "golden=[sentiment,questions]", "pairing=consecutive"]
)
def test_each_example_runs(cli, own, override):
    args = [
        *SMALL,
        "sft=none",
        f"out={own / 'out'}",
        "arms=[]",
        "comparisons.n=30",
        "comparisons.n_validation=8",
    ]
    refused = cli("run", *args, override, "--config-dir", own / "conf")
    assert refused.code == 2 and "allow_modules=[mine" in refused.line
    result = cli("run", *args, override, "allow_modules=[mine]", "--config-dir", own / "conf", "--json")
    assert result.code == 0, result.err
    assert "mine." in result.out


def test_editing_a_component_of_one_s_own_is_a_change(cli, own):
    args = [*SMALL, "sft=none", f"out={own / 'out'}", "golden=[sentiment,questions]", "allow_modules=[mine]"]
    prints = []
    for _ in range(2):
        stages = cli("run", *args, "--config-dir", own / "conf", "--dry-run", "--json").json["stages"]
        prints.append({s["name"]: s["fingerprint"] for s in stages if s["stage"] == "annotate"})
        with (own / "mine" / "questions.py").open("a") as file:
            file.write("# another version\n")
    assert prints[0]["sentiment"] == prints[1]["sentiment"]
    assert prints[0]["questions"] != prints[1]["questions"]
