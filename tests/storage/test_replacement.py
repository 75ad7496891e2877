"""An artifact that is made again is there until the new one is whole, whatever ends its making."""

from __future__ import annotations

import os
import sys

import pyarrow as pa
import pytest

from rmlab.errors import InputError
from rmlab.storage import writer as writers
from rmlab.storage.artifact import is_unfinished, open_artifact
from rmlab.storage.manifest import Manifest
from rmlab.storage.replacement import is_unsettled, replacement_of
from rmlab.storage.writer import tidy, writing

MADE_OF = {"prompts": "1"}


def make(path, value, replaces):
    with writing(path) as writer:
        writer.begin(MADE_OF, replaces)
        for k in range(3):
            if not writer.has_part(k):
                writer.part(k, pa.table({"x": [value]}), {})
        writer.output("head").mkdir()
        (writer.output("head") / "head.json").write_text(str(value))
        writer.commit(lambda files: Manifest("sample", "n", 1, "f" * 64, {}, [], files, 3))


def holds(path):
    """The value that a whole artifact was made with."""
    (value,) = set(open_artifact(path).read()["x"].to_pylist())
    assert (path / "head" / "head.json").read_text() == str(value)
    return value


def old_one(path):
    """A finished one of the value 1, in which somebody keeps notes."""
    make(path, 1, replaces=False)
    (path / "notes").mkdir()
    (path / "notes" / "mine.md").write_text("mine")
    return path


@pytest.fixture
def artifact(tmp_path):
    return old_one(tmp_path / "a")


def killed_at(n, artifact):
    """Makes it again in a process that is killed at its nth change of the disk; False if it had ended."""
    child = os.fork()
    if child == 0:
        left = iter(range(n))

        def strike(event, args):
            is_change = event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir") or (
                event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
            )
            if is_change and f"{artifact.parent}/" in str(args[0]) and next(left, None) is None:
                os._exit(9)

        sys.addaudithook(strike)
        try:
            make(artifact, 2, replaces=True)
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 9


@pytest.mark.slow
def test_a_kill_at_any_change_of_the_disk_leaves_the_old_or_the_new_one_whole(tmp_path):
    found = []
    while killed_at(len(found), path := old_one(tmp_path / str(len(found)) / "a")):
        tidy(path)  # the next command does this
        found.append(holds(path))
        assert (path / "notes" / "mine.md").read_text() == "mine"
        make(path, 2, replaces=True)
        assert holds(path) == 2
        assert [p.name for p in path.parent.iterdir()] == ["a"]
        assert sorted(p.name for p in path.iterdir() if not p.name.startswith(".")) == [
            "head", "manifest.json", "notes", *(f"part-0000{k}.parquet" for k in range(3)),
        ]  # fmt: skip
    assert len(found) > 40 and set(found) == {1, 2}
    assert found == sorted(found), "once the new one is whole, it stays"


def test_a_full_disk_leaves_the_old_one_and_what_is_done_of_the_new_one(artifact, monkeypatch):
    written = []
    real = writers.write_parquet

    def full(path, table):
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        real(path, table)
        written.append(path)

    monkeypatch.setattr(writers, "write_parquet", full)
    with pytest.raises(OSError, match="No space"):
        make(artifact, 2, replaces=True)
    assert holds(artifact) == 1
    assert sorted(p.name for p in replacement_of(artifact).glob("part-*")) == [
        "part-00000.parquet", "part-00001.parquet",
    ]  # fmt: skip
    monkeypatch.undo()
    before = {p.name: p.stat().st_ino for p in replacement_of(artifact).glob("part-*")}
    make(artifact, 2, replaces=True)
    assert holds(artifact) == 2 and not is_unsettled(artifact)
    assert {name: (artifact / name).stat().st_ino for name in before} == before


def test_what_was_begun_of_other_inputs_does_not_end_in_the_replacement(artifact):
    with writing(artifact) as writer:
        writer.begin({"prompts": "other"}, replaces=True)
        writer.part(0, pa.table({"x": [7]}), {})
    make(artifact, 2, replaces=True)
    assert holds(artifact) == 2


def test_files_of_others_keep_their_names_or_get_a_free_one(artifact):
    (artifact / "head" / "remarks.txt").write_text("of a reader")
    (artifact / "link").symlink_to(artifact.parent)
    make(artifact, 2, replaces=True)
    assert (artifact / "head" / "remarks.txt").read_text() == "of a reader"
    assert (artifact / "link").is_symlink() and (artifact / "notes" / "mine.md").is_file()
    assert "notes" not in " ".join(r.name for r in open_artifact(artifact).manifest.files)


@pytest.mark.parametrize("name", ["notes/mine.md", "part-00000.parquet", ".work/optimizer.pt", "head/x"])
def test_a_folder_that_no_record_says_is_ours_is_not_written_to(tmp_path, name):
    file = tmp_path / "a" / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    with pytest.raises(InputError, match=f"a holds {name}, which no record of rmlab names"):
        make(tmp_path / "a", 1, replaces=False)
    assert file.read_text() == "mine"
    assert {p.name for p in (tmp_path / "a").iterdir()} == {name.partition("/")[0], ".lock"}


@pytest.mark.parametrize(
    "what", ["a", "a/.work", "a/.work/made", "a/.work/processes.log", ".a.new", ".a.old"]
)
def test_links_are_refused(tmp_path, what):
    (tmp_path / "precious").mkdir()
    for name in ("thesis.txt", ".draft.1.tmp", ".manifest.json.1.tmp"):
        (tmp_path / "precious" / name).write_text("mine")
    if what != "a":
        make(tmp_path / "a", 1, replaces=False)
    (tmp_path / what).parent.mkdir(exist_ok=True)
    (tmp_path / what).symlink_to(tmp_path / "precious")
    with pytest.raises(InputError, match="is a link"):
        make(tmp_path / "a", 2, replaces=what.startswith(".a"))
    assert len(list((tmp_path / "precious").iterdir())) == 3
    assert (tmp_path / what).is_symlink()


def test_a_file_in_the_place_of_an_output_is_kept(tmp_path):
    path = tmp_path / "a"
    with writing(path) as writer:
        writer.begin(MADE_OF)
    (path / "head").mkdir()
    (path / "head" / "mine").write_text("mine")
    make(path, 1, replaces=False)
    assert holds(path) == 1 and (path / "head~" / "mine").read_text() == "mine"


def test_without_its_folder_a_replacement_goes_on_as_the_artifact(artifact):
    with writing(artifact) as writer:
        writer.begin(MADE_OF, replaces=True)
        writer.part(0, pa.table({"x": [2]}), {})
    artifact.rename(artifact.with_name("elsewhere"))
    with writing(artifact) as writer:
        writer.begin(MADE_OF)
        assert writer.has_part(0)
    assert is_unfinished(artifact)
