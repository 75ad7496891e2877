"""The examples of CONTRIBUTING.md, run as they are printed: in a copy of rmlab, and as a user's own package."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_settings import SMALL

from rmlab.config.components import NAME
from rmlab.pipeline.stages import STAGES
from rmlab.storage.schemas import TABLES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = dict(
    re.findall(r"^`((?:rmlab|conf)/\S+)`[^\n]*:\n```\w+\n(.*?)```", PAGE, flags=re.DOTALL | re.MULTILINE)
)
LINES = re.findall(r"[Ii]n `(rmlab/\S+)`, before `(\w+)`:\n```python\n(.*?)```", PAGE, flags=re.DOTALL)
NAMES = re.findall(r"Add `(\w+)` to `(\w+)` after `(\w+)`", PAGE)
FEW = (*SMALL, "sft=none", "comparisons.n=30", "comparisons.n_validation=8")
SETTINGS = (
    *FEW,
    "golden=[sentiment,questions]",
    "pairing=consecutive",
    "arms=['head=linear loss=exponential','head=mlp loss=exponential']",
)


def test_the_examples_are_found():
    kinds = [Path(name).parent.as_posix() for name in FILES]
    assert sorted(kinds) == [
        "conf/golden", "conf/loss", "conf/pairing",
        "rmlab/goldens", "rmlab/losses", "rmlab/pairing", "rmlab/stages",
    ]  # fmt: skip
    assert [(place, name) for place, name, _ in LINES] == [
        ("rmlab/pipeline/stages.py", "STAGES"),
        ("rmlab/storage/schemas.py", "TABLES"),
    ]
    assert NAMES == [("AGREEMENT", "STAGES", "HELDOUT"), ("AGREEMENT", "TABLES", "CALIBRATION")]


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """rmlab with all examples in it, where the page says that they go."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("rmlab", "conf"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "data").symlink_to(ROOT / "data")
    for name, text in FILES.items():
        assert not (folder / name).exists(), f"{name} is no new file"
        (folder / name).write_text(text, encoding="utf-8")
    for (name, before, code), (new, into, after) in zip(LINES, NAMES, strict=True):
        assert before == into
        text = (folder / name).read_text(encoding="utf-8")
        head, start, members = text.partition(f"\n{into} = (")
        members, n = re.subn(rf"\b{after}\b", f"{after}, {new}", members, count=1)
        assert n == 1, f"{into} has no {after}"
        (folder / name).write_text(f"{head}\n{code}\n{start}{members}", encoding="utf-8")
    return folder


def in_copy(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    command = [sys.executable, "-m", "rmlab", *arguments]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def stages(copy) -> list[dict]:
    """The stages of one run with the loss, the golden reward, the pairing and the stage of the page."""
    return json.loads(in_copy(copy, "run", *SETTINGS, "--json").stdout)["stages"]


def test_the_printed_components_run(copy, stages):
    states = {(s["stage"], s["name"]): s for s in stages}
    assert {s["state"] for s in stages} == {"done"}
    assert ("annotate", "questions") in states
    fitted = states["fit_rm", "linear-exponential"]
    config = json.loads((copy / fitted["path"] / "manifest.json").read_text())["config"]
    assert config["loss"] == {NAME: "exponential", "rate": 1.0}
    assert config["pairing"] == {NAME: "consecutive"}
    assert ("fit_rm", "mlp-exponential") in states


def test_the_printed_stage_is_a_stage_like_any_other(copy, stages):
    names = [s["stage"] for s in stages]
    assert names.index("eval_rm") < names.index("agreement") < names.index("report")
    [made] = [s for s in stages if s["stage"] == "agreement"]
    shown = json.loads(in_copy(copy, "inspect", made["path"], "--json").stdout)
    [table] = shown["tables"]
    assert [c["name"] for c in table["columns"]] == ["arm", "other", "spearman", "n_responses"]
    row = next(r for r in table["sample"] if r["arm"] == "copying" and r["other"] == "golden_regression")
    assert -1 <= row["spearman"] <= 1 and row["n_responses"] == 6 * 6  # test prompts by responses
    checked = json.loads(in_copy(copy, "verify", "all", "--json").stdout)
    assert {row["state"] for row in checked["artifacts"]} == {"whole"}
    [alone] = json.loads(in_copy(copy, "agreement", *SETTINGS, "--json").stdout)["stages"]
    assert alone == made | {"state": "already"}


def test_the_names_that_the_page_adds_to_are_there():
    assert "heldout" in [stage.name for stage in STAGES] and "agreement" not in [
        stage.name for stage in STAGES
    ]
    assert "calibration" in [table.name for table in TABLES] and "agreement" not in [t.name for t in TABLES]


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A package `mine` with the components of the page, and a folder of settings that names them."""
    (tmp_path / "mine").mkdir()
    for name, text in FILES.items():
        place = Path(name)
        if place.parts[0] == "conf":
            (tmp_path / place.parent).mkdir(parents=True, exist_ok=True)
            (tmp_path / place).write_text(re.sub(r"rmlab\.\w+\.", "mine.", text))
        elif place.parts[1] != "stages":
            (tmp_path / "mine" / place.name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [n for n in sys.modules if n.partition(".")[0] == "mine"]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


def test_the_components_run_in_a_package_of_one_s_own(cli, own):
    args = [*FEW, f"out={own / 'out'}", "arms=[]", "--config-dir", own / "conf"]
    overrides = ["loss=exponential", "golden=[sentiment,questions]", "pairing=consecutive"]
    for override in overrides:
        refused = cli("run", *args, override)
        assert refused.code == 2 and "allow_modules=[mine" in refused.line
    result = cli("run", *args, *overrides, "allow_modules=[mine]", "--json")
    assert result.code == 0, result.err
    for name in ("exponential.Exponential", "questions.Questions", "consecutive.Consecutive"):
        assert f"mine.{name}" in result.out


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
