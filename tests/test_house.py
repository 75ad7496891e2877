"""scripts/house.py: a small package whose figures are known by heart."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def house(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "scripts"))
    import house

    return house


FILES = {
    "__init__.py": "",
    "loose.py": '"""What is loose."""\n\nfrom pack.a import twin\nimport pack.b.twin\n\nclass Twin: ...\n',
    "a/__init__.py": "",
    "a/base.py": '"""A base."""\n',
    "a/twin.py": (
        '"""Twin."""\n\n\ndef f():\n    """Whatever."""\n\n    def g():\n        return 1\n\n    return g\n'
        "\n\nclass Twin:\n    def h(self):\n        '''The same as f.'''\n\n\nclass _Own: ...\n"
    ),
    "b/__init__.py": "from .base import x\n",
    "b/base.py": "from ..a.twin import f as x\nfrom .twin import _Own\n",
    "b/twin.py": "class _Own: ...\n" + "\n" * 40,
}


@pytest.fixture
def package(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / "pack" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "pack"


def test_the_figures_by_hand(house, package):
    found = {figure.label.strip(): figure for figure in house.figures(package)}
    assert found["lines"].value == 6 + 1 + 18 + 1 + 2 + 41
    assert found["files"].value == 8
    assert found["modules (files but __init__ and __main__)"].value == 5
    assert found["median lines of a module"].value == 6
    assert found["functions"].value == 3
    assert found["median lines of a function"].value == 2  # f has 7, g and h have 2
    assert found["90th percentile of lines of a function"].value == 7
    assert list(found["modules directly in the package"].counted) == ["pack.loose"]
    assert len(found["modules of 40 lines or fewer"].counted) == 4
    assert list(found["modules with exactly one importer"].counted) == ["pack.b.base: pack.b"]
    assert list(found["class names that two modules define"].counted) == [
        "Twin: pack.a.twin, pack.loose",
        "_Own: pack.a.twin, pack.b.twin",
    ]
    assert list(found["of these public"].counted) == ["Twin: pack.a.twin, pack.loose"]
    assert list(found["module names in two folders, base excepted"].counted) == [
        "twin: pack.a.twin, pack.b.twin"
    ]
    assert list(found["docstrings that begin amid a sentence"].counted) == [
        "pack/a/twin.py:14: The same as f.",
        "pack/loose.py:1: What is loose.",
    ]


def test_importers_are_counted_once_and_by_module(house, package):
    found = house.importers(house.read_files(package))
    assert sorted(found["pack.a.twin"]) == ["pack.b.base", "pack.loose"]
    assert sorted(found["pack.b.twin"]) == ["pack.b.base", "pack.loose"]


def test_it_prints_a_table(house, package, capsys):
    assert house.main([str(package), "--list"]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0].split() == ["lines", "69"]
    assert said.endswith("docstrings by how they begin: The same 1, What 1\n")
