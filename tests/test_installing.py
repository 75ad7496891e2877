"""What rmlab says about installing: its own name, the packages of an extra, and systems that it does not run on."""

from __future__ import annotations

import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest

from rmlab import __main__, __version__, provenance
from rmlab.config import optional_packages

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGE = (ROOT / "docs" / "installing.md").read_text()


def test_the_name_is_that_of_the_project_file_and_of_the_page():
    assert provenance.DISTRIBUTION == PROJECT["name"] != "rmlab"
    assert f"called `{PROJECT['name']}`" in PAGE
    wheels = re.findall(r"dist/([\w.-]+)-py3-none-any\.whl", PAGE)
    assert set(wheels) == {f"{PROJECT['name'].replace('-', '_')}-{__version__}"}


@pytest.mark.parametrize("extra", sorted(set(optional_packages.EXTRAS.values())))
def test_an_extra_is_installed_by_the_names_of_its_packages(extra):
    words = provenance.install_line(extra).lower().split()  # built files may have another case
    packages = PROJECT["optional-dependencies"][extra]
    assert words[:2] == ["pip", "install"]
    assert sorted(words[2:]) == sorted(f'"{package.lower()}"' for package in packages)


def test_files_that_were_never_installed_name_the_extra(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", absent)
    assert "extra trees in pyproject.toml" in provenance.install_line("trees")


def test_nothing_tells_a_reader_to_install_another_project_of_the_same_name():
    files = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    files += [f for folder in ("rmlab", "scripts", "conf") for f in (ROOT / folder).rglob("*") if f.is_file()]
    texts = {f: f.read_text(encoding="utf-8") for f in files if f.suffix in (".md", ".py", ".sh", ".yaml")}
    found = {f.name for f, text in texts.items() if re.search(r"pip install [^\n`]*\brmlab\b(?![/.])", text)}
    assert len(texts) > 200 and found == {"installing.md"}  # the page warns of it


def test_on_windows_it_says_where_it_runs(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SystemExit) as stopped:
        __main__.main()
    told = capsys.readouterr()
    assert stopped.value.code == 2 and told.out == ""
    assert told.err.count("\n") == 1 and "WSL" in told.err
