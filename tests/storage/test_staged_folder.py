"""One writer at a time beside a target, and what processes that were killed have left there."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from rmlab.commands.release import new_set_folder
from rmlab.errors import InputError
from rmlab.storage.staged_folder import clear_leftovers, only_writer, staged_folder

OTHER = """
import sys
from pathlib import Path
from rmlab.storage.staged_folder import only_writer
with only_writer(Path(sys.argv[1])):
    print("has it", flush=True)
    sys.stdin.readline()
"""


def test_what_a_killed_writer_had_begun_goes_and_what_is_not_its_own_stays(tmp_path):
    for begun, name in ((".set.123.tmp", "unfinished"), (".set.124.tmp", "mine")):
        (tmp_path / begun / "set").mkdir(parents=True)
        (tmp_path / begun / "set" / "prompts.parquet").touch()
        (tmp_path / begun / name).touch()
    (tmp_path / ".set.node-7-123.tmp").mkdir()
    (tmp_path / ".rows.jsonl.45.tmp").touch()
    others = ("set", ".sets.123.tmp", ".set.new.tmp", "set.123.tmp", ".set.x.node-7-123.tmp")
    for other in others:
        (tmp_path / other).touch()
    with only_writer(tmp_path / "set"), only_writer(tmp_path / "below" / "x"):
        pass
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {*others, ".rows.jsonl.45.tmp", "below", ".set.124.tmp"}


def test_a_command_that_finds_its_work_done_clears_what_its_killed_forerunner_left(tmp_path):
    """Killed after the set took its place, and before the working folder went."""
    work = tmp_path / ".set.node-7-123.tmp"
    work.mkdir()
    (work / "unfinished").touch()
    (tmp_path / "set").mkdir()
    clear_leftovers(tmp_path / "set")
    clear_leftovers(tmp_path / "none" / "set")
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_what_was_moved_aside_comes_back_where_nothing_took_its_place(tmp_path):
    """Killed between the two renames that exchange a set for another."""
    old = tmp_path / ".set.123.old"
    old.mkdir()
    (old / "set.json").write_text("{}")
    with pytest.raises(InputError, match="is there already"), new_set_folder(tmp_path / "set", force=False):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["set"] and (tmp_path / "set" / "set.json").is_file()
    old.mkdir()
    with only_writer(tmp_path / "set"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["set"] and (tmp_path / "set" / "set.json").is_file()


def test_a_second_writer_waits_and_says_so(tmp_path):
    target = str(tmp_path / "set")

    def start() -> subprocess.Popen:
        command = [sys.executable, "-c", OTHER, target]
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return subprocess.Popen(command, text=True, **streams)

    with start() as has_it:
        assert has_it.stdout.readline() == "has it\n"
        waits = start()
        line = waits.stderr.readline()
        (tmp_path / f".set.{has_it.pid}.tmp").mkdir()  # being written: nobody takes it for left behind
        assert line == f"waits for another rmlab process that writes into {tmp_path}\n"
        out, err = has_it.communicate("\n", timeout=60)
        assert (has_it.returncode, err) == (0, "")
        out, err = waits.communicate("\n", timeout=60)
        assert (waits.returncode, out, err) == (0, "has it\n", "")
    assert not list(tmp_path.iterdir())  # once the first had gone without it, it was left behind


def test_two_releases_at_once_make_one_set(tmp_path):
    target = tmp_path / "set"
    with pytest.raises(InputError, match="is there already"), new_set_folder(target, force=False) as folder:
        (folder / "set.json").write_text("{}")
        folder.rename(target)  # as another process would
        with new_set_folder(target, force=False):
            pass


def test_a_link_is_refused_and_stays(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "set").symlink_to("elsewhere")
    with pytest.raises(InputError, match="set is a link"), only_writer(tmp_path / "set"):
        pass
    with pytest.raises(InputError, match="set is a link"), staged_folder(tmp_path / "set") as folder:
        (folder / "new").touch()
    assert {path.name for path in tmp_path.iterdir()} == {"set", "elsewhere"}
    assert (tmp_path / "set").is_symlink() and not list((tmp_path / "elsewhere").iterdir())


RECORD = json.dumps({"files": {"prompts.parquet": {}, "../outside": {}}, "policies": []})


def test_of_a_folder_that_is_replaced_only_what_its_record_names_goes(tmp_path):
    """The rest, such as the history that git keeps, comes into the new folder."""
    (tmp_path / "outside").write_text("not of the set")
    old = tmp_path / "set"
    for name in ("set.json", "prompts.parquet", "README.md", ".git/HEAD", "data/mine", "notes"):
        (old / name).parent.mkdir(parents=True, exist_ok=True)
        (old / name).write_text(RECORD if name == "set.json" else f"old {name}")
    (old / "to_outside").symlink_to("../outside")
    with staged_folder(old) as folder:
        (folder / "data").mkdir()
        for name in ("set.json", "notes", "data/new"):
            (folder / name).write_text("new")
    found = {p.relative_to(old).as_posix(): p.read_text() for p in old.rglob("*") if p.is_file()}
    assert found == {
        **dict.fromkeys(("set.json", "notes", "data/new"), "new"),
        **{name: f"old {name}" for name in (".git/HEAD", "data/mine")},
        "notes~": "old notes",
        "to_outside": "not of the set",
    }
    assert sorted(p.name for p in tmp_path.iterdir()) == ["outside", "set"]
