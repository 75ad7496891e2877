"""What a result depends on outside of rmlab: the user's modules, however they are reached, and packages."""

from __future__ import annotations

import sys

import pytest
from small_settings import SMALL

from rmlab.config.grid import points
from rmlab.config.hydra import load_settings
from rmlab.pipeline import own_code as code
from rmlab.pipeline import packages
from rmlab.pipeline.chain import chain_of
from rmlab.storage.artifact import open_artifact
from rmlab.storage.manifest import InputRecord
from rmlab.sweeps.plan import plan_sweep


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Writes modules into a folder that Python imports from; they are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    forget()

    def write(**files):
        for name, text in files.items():
            place = tmp_path / f"{name}.py"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        return tmp_path

    yield write
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            sys.modules.pop(name)
    forget()


def forget():
    """What a process remembers of code and packages, which do not change while it runs."""
    for cached in (code._imports, packages.identity_of, packages.packages_of_modules):
        cached.cache_clear()


def installed(folder, name, version="1.0", **files):
    """A package as pip leaves it; files: name -> text."""
    place = folder / "site-packages"
    record = []
    for file, text in {f"{name}-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", **files}.items():  # fmt: skip
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).write_text(text)
        record.append(f"{file},,\n")
    (place / f"{name}-{version}.dist-info" / "RECORD").write_text("".join(record))
    return place


WAYS = {
    "a plain import": "import helper_a",
    "within a function": "def f():\n    import helper_a",
    "a name of a module": "from helper_a import number",
    "by a text": "import importlib\nimportlib.import_module('helper_a')",
    "by its function": "__import__('helper_a')",
    "behind another": "import helper_b",
    "behind a package": "import package_c.inner",
    "a part of a package": "from package_c import second",
}


@pytest.mark.parametrize("way", WAYS)
def test_every_module_that_is_reached_counts(mine, way):
    folder = mine(
        first=WAYS[way],
        helper_a="number = 1",
        helper_b="import helper_a",
        **{
            "package_c/__init__": "",
            "package_c/inner": "from . import second",
            "package_c/second": "from ..nowhere import x\nfrom .third import x",
            "package_c/third": "import helper_a",
        },
    )
    found = code.own_code("first")
    assert {str(folder / "first.py"), str(folder / "helper_a.py")} <= set(found.files)
    assert not found.unseen and not found.packages


def test_modules_of_a_package_count_with_those_around_it(mine):
    mine(**{"package_d/__init__": "import helper_d", "package_d/inner": "", "helper_d": ""})
    names = [file.rpartition("/")[2] for file in code.own_code("package_d.inner").files]
    assert names == ["helper_d.py", "__init__.py", "inner.py"]


def test_the_identity_is_that_of_contents_in_the_order_of_names(mine, tmp_path):
    folder = mine(first="import helper_a", helper_a="x = 1")
    before = code.code_identity(code.own_code("first").files)
    (folder / "helper_a.py").write_text("x = 2")
    assert code.code_identity(code.own_code("first").files) != before


def test_what_an_edit_brings_in_counts_within_the_same_process(mine):
    folder = mine(first="import helper_a", helper_a="", helper_b="")
    assert len(code.own_code("first").files) == 2
    (folder / "first.py").write_text("import helper_b")
    assert str(folder / "helper_b.py") in code.own_code("first").files


def test_the_standard_library_and_rmlab_are_no_code_of_the_user(mine):
    mine(first="import json, os.path, math, rmlab.paths\nfrom collections import abc\nimport _json\n")
    found = code.own_code("first")
    assert len(found.files) == 1 and not found.packages and not found.unseen


def test_a_module_that_is_named_like_one_of_the_standard_library_counts(mine):
    folder = mine(first="import this_one, antigravity", this_one="", antigravity="")
    assert str(folder / "antigravity.py") in code.own_code("first").files


def test_packages_that_it_imports_count_by_version(mine, monkeypatch):
    mine(first="import numpy as np\nfrom yaml import safe_load\nimport torch")
    found = code.own_code("first")
    assert found.packages["numpy"] == packages.version_of("numpy")
    assert "pyyaml" in found.packages and "+" not in found.packages["torch"] and len(found.files) == 1


def test_a_function_of_an_installed_package_counts_by_all_its_files(mine, tmp_path, monkeypatch):
    place = installed(
        tmp_path, "graders", **{"graders/__init__.py": "import json", "graders/words.txt": "good"}
    )
    monkeypatch.syspath_prepend(place)
    forget()
    before = code.own_code("graders").packages
    assert before["graders"].startswith("1.0 sha256:") and not code.own_code("graders").files
    (place / "graders" / "words.txt").write_text("bad")
    forget()
    assert code.own_code("graders").packages != before
    mine(first="import graders")
    assert code.own_code("first").packages == {"graders": "1.0"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import importlib\nname = 'x'\nimportlib.import_module(name)", "import_module in first.py:3"),
        ("exec('import x')", "exec in first.py:1"),
        ("import fast_part", "fast_part.so"),
    ],
)
def test_what_cannot_be_read_is_told(mine, text, told):
    folder = mine(first=text)
    (folder / "fast_part.so").write_bytes(b"compiled")
    found = code.own_code("first")
    assert told in found.unseen and told in found.warning and "data files" in found.warning


def test_a_file_that_is_no_python_does_not_end_the_search(mine):
    mine(first="import broken_one\nimport helper_a", broken_one="def (", helper_a="")
    assert len(code.own_code("first").files) == 3


FILES = {"lexicon/__init__.py": "", "lexicon/words.txt": "good 1", "lexicon/fast.so": "x"}


def test_a_package_is_its_version_and_its_files(tmp_path, monkeypatch):
    place = installed(tmp_path, "lexicon", **FILES)
    monkeypatch.syspath_prepend(place)
    forget()
    first = packages.identity_of("lexicon")
    record = InputRecord("package-lexicon", "package", "lexicon", first, "lexicon")
    assert not changed(record)
    (place / "lexicon" / "fast.so").write_text("another build")
    forget()
    assert packages.identity_of("lexicon") == first
    (place / "lexicon" / "words.txt").write_text("good -1")
    forget()
    assert packages.identity_of("lexicon") != first and changed(record)
    assert packages.version_of("nowhere-at-all") == packages.identity_of("nowhere-at-all") == packages.ABSENT
    assert not changed(InputRecord("x", "package", "nowhere-at-all", "1.0", ""))


def changed(record):
    from types import SimpleNamespace

    from rmlab.pipeline.verify import Sources

    return Sources().has_changed(record, SimpleNamespace(folder="/"))


@pytest.mark.parametrize(
    ("golden", "package"), [("sentiment", "vadersentiment"), ("descriptiveness", "textblob")]
)
def test_a_lexicon_is_part_of_the_identity_of_its_scores_alone(monkeypatch, golden, package):
    settings = load_settings([*SMALL, f"golden=[{golden},length]"])
    before = chain_of(settings)
    monkeypatch.setattr("rmlab.pipeline.node.identity_of", lambda name: f"{name} of another day")
    after = chain_of(settings)
    assert package in {source.name for source in before[f"annotate:{golden}"].sources.values()}
    assert {role for role in before if before[role].fingerprint != after[role].fingerprint} == {
        f"annotate:{golden}",
        "judge",
    }


def test_the_trees_of_another_lightgbm_are_others(monkeypatch):
    from rmlab.pipeline.chain import fit_node

    def fingerprints():
        chosen = (
            load_settings([*SMALL, "golden=[length]", f"head={head}", "loss=classification"])
            for head in ("trees", "mlp")
        )
        return [fit_node(chain_of(s), "x", s).fingerprint for s in chosen]

    before = fingerprints()
    monkeypatch.setattr("rmlab.pipeline.node.identity_of", lambda name: "5.0")
    after = fingerprints()
    assert (before[0] == after[0], before[1] == after[1]) == (False, True)


COMPONENT = """
from dataclasses import dataclass
import helper_a
import numpy
from rmlab.losses.pairs import BradleyTerry
@dataclass(frozen=True)
class Mine(BradleyTerry):
    pass
"""


def test_a_sweep_names_the_code_of_its_recipes(mine, monkeypatch):
    folder = mine(my_loss=COMPONENT, helper_a="")
    grid = [
        *SMALL,
        "loss._target_=my_loss.Mine",
        "allow_modules=[my_loss]",
        "head=linear",
        "seed=0,1",
        "arms=[]",
    ]
    node = plan_sweep(points(grid), 1)
    assert set(node.sources) == {"code:my_loss", "package:numpy"}
    assert node.sources["code:my_loss"].files == (str(folder / "helper_a.py"), str(folder / "my_loss.py"))


def test_a_run_says_what_the_identity_of_own_code_lacks(cli, mine, tmp_path, monkeypatch):
    """And that it was edited while it ran."""
    folder = mine(
        my_reward="import helper_a\nfrom pathlib import Path\n"
        "def reward(prompts, responses):\n"
        "    Path(helper_a.__file__).write_text('x = 2')\n"
        "    return [len(r) for r in responses]\n",
        helper_a="x = 1",
    )
    golden = ["golden=callable", "golden.callable.path=my_reward.reward", "allow_modules=[my_reward]"]
    settings = [*SMALL, *golden, "sft=none", f"out={folder / 'a'}"]
    for stage in ("sample", "annotate"):
        assert cli(stage, *settings).code == 0
    made = open_artifact(next((folder / "a" / "annotate").glob("*")))
    first, second = made.manifest.warnings
    assert "its code (2 files)" in first and "data files" in first and "use --force" in first
    assert "my_reward.reward was edited while annotate ran" in second
    assert "1 stale" in cli("verify", folder / "a").line
