"""One module removes and replaces, and what it is told to remove lies where it says."""

from __future__ import annotations

import ast
import os
import stat
from pathlib import Path

import pytest

from rmlab import removal
from rmlab.storage.manifest import Manifest
from rmlab.storage.staged_folder import staged_folder
from rmlab.storage.writer import writing

PACKAGE = Path(removal.__file__).parent
_CALLS = {"rmtree", "unlink", "rmdir", "removedirs", "rename", "renames", "link_to"}
_OF_MODULES = {("os", "remove"), ("os", "replace"), ("shutil", "move"), ("shutil", "copy2")}


def removals(code: str) -> list[int]:
    """Lines that remove or replace a file. `x.replace(a)` is that of a path: text has two arguments."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module in ("os", "shutil"):
            names = {alias.name for alias in node.names}
            if names & (_CALLS | {name for _, name in _OF_MODULES}):
                found.append(node.lineno)
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        name, of = node.func.attr, node.func.value
        owner = of.id if isinstance(of, ast.Name) else ""
        is_of_path = name == "replace" and len(node.args) == 1 and not node.keywords
        if name in _CALLS or (owner, name) in _OF_MODULES or is_of_path:
            found.append(node.lineno)
    return found


def test_no_other_module_removes_or_replaces():
    found = {
        f"{file.relative_to(PACKAGE)}:{line}"
        for file in PACKAGE.rglob("*.py")
        if file != Path(removal.__file__)
        for line in removals(file.read_text())
    }
    assert not found, f"use rmlab/removal.py in place of {sorted(found)}"
    assert len(removals(Path(removal.__file__).read_text())) > 4


@pytest.mark.parametrize(
    "line",
    [
        "shutil.rmtree(x)",
        "file.unlink(missing_ok=True)",
        "os.remove(x)",
        "a.rename(b)",
        "a.replace(b)",
        "os.replace(a, b)",
        "from os import unlink",
        "(x / y).rmdir()",
    ],
)
def test_what_removes_is_recognised(line):
    assert removals(line)
    assert not removals("text.replace('a', 'b'); replace(made, x=1); root.remove(child)")


@pytest.mark.parametrize("name", ["../mine", "/mine", "a/../../mine", "link/mine", "./a", ""])
def test_nothing_outside_goes(tmp_path, name):
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "mine").write_text("mine")
    (folder / "link").symlink_to(tmp_path)
    removal.remove_listed(folder, [name.replace("/mine", f"{tmp_path}/mine") if name == "/mine" else name])
    assert (tmp_path / "mine").is_file() and (folder / "link").is_symlink()


def test_a_link_goes_without_what_it_leads_to_and_a_full_folder_stays(tmp_path):
    folder = tmp_path / "folder"
    (folder / "head").mkdir(parents=True)
    (folder / "head" / "mine").write_text("mine")
    (tmp_path / "mine").write_text("mine")
    (folder / "part").symlink_to(tmp_path / "mine")
    removal.remove_listed(folder, ["part", "head/head.json", "head"])
    assert (tmp_path / "mine").is_file() and (folder / "head" / "mine").is_file()
    assert not (folder / "part").is_symlink()
    (tmp_path / "work").symlink_to(folder)
    removal.remove_scratch(tmp_path / "work")
    assert (folder / "head" / "mine").is_file()


def write_for_its_user_alone(file: Path) -> None:
    file.touch()
    file.chmod(0o600)


def test_what_libraries_write_for_their_user_alone_is_read_by_those_who_read_the_rest(tmp_path):
    """As safetensors writes weights."""
    before = os.umask(0o027)
    try:
        with staged_folder(tmp_path / "model") as folder:
            write_for_its_user_alone(folder / "model.safetensors")
        with writing(tmp_path / "artifact") as writer:
            writer.begin({})
            writer.output("head").mkdir()
            write_for_its_user_alone(writer.output("head") / "head.safetensors")
            writer.commit(lambda files: Manifest("fit_rm", "n", 1, "f" * 64, {}, [], files, 0))
    finally:
        os.umask(before)
    files = [tmp_path / "model" / "model.safetensors", tmp_path / "artifact" / "head" / "head.safetensors"]
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o640, 0o640]
    assert [file.name for file in (tmp_path / "model").iterdir()] == ["model.safetensors"]
