"""A lock that another process holds is told apart from one that the file system cannot give."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rmlab.errors import RmlabError
from rmlab.machine import this_process
from rmlab.storage import locks
from rmlab.storage.locks import locked
from rmlab.storage.staged_folder import only_writer
from rmlab.storage.writer import writing

WITHOUT_LOCKS = """
import errno, fcntl, os, sys
from pathlib import Path
real = fcntl.flock
def flock(file, how):
    if os.fstat(file if isinstance(file, int) else file.fileno()).st_dev == os.stat(sys.argv[1]).st_dev:
        if "rmlab-" not in os.readlink(f"/proc/self/fd/{file}"):
            raise OSError(errno.ENOLCK, "No locks available")
    real(file, how)
fcntl.flock = flock
from rmlab.storage.locks import locked
def busy():
    print("busy", flush=True)
with locked(Path(sys.argv[1]), busy):
    print("has it", flush=True)
    sys.stdin.readline()
print("gave it back", flush=True)
"""


@pytest.fixture(params=[errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF])
def no_locks(request, monkeypatch):
    """A file system without locks; the folder for temporary files of this machine has them."""
    real = fcntl.flock

    def flock(file, how):
        if "rmlab-" in str(Path(f"/proc/self/fd/{file}").readlink()):
            return real(file, how)
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    monkeypatch.setattr(locks, "_AGAIN", 0.01)


def other(place) -> subprocess.Popen:
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", WITHOUT_LOCKS, str(place)], **streams)


def held(artifact):
    return artifact.with_name(f".{artifact.name}.rmlab-held")


def test_one_writes_and_nothing_stays(no_locks, tmp_path):
    artifact = tmp_path / "a"
    with writing(artifact):
        assert json.loads(held(artifact).read_text()) == this_process()
        with (
            pytest.raises(RmlabError, match="another .* is writing a; .*no locks.*remove"),
            writing(artifact),
        ):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    with only_writer(tmp_path / "set") as place:
        assert place == tmp_path / "set" and (tmp_path / ".rmlab-held").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_a_killed_process_of_this_machine_left_is_taken_over(no_locks, tmp_path):
    (tmp_path / "folder").mkdir()
    with other(tmp_path / "folder") as process:
        assert process.stdout.readline() == "has it\n"
        process.kill()
    left = tmp_path / "folder" / ".rmlab-held"
    assert json.loads(left.read_text())["process"] == process.pid
    with locked(tmp_path / "folder", lambda: pytest.fail("nobody holds it")):
        assert json.loads(left.read_text())["process"] == os.getpid()
    assert not left.exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"host": "elsewhere", "system": "s", "process": 1}'])
def test_what_another_machine_may_hold_is_left_and_named(no_locks, tmp_path, text):
    held(tmp_path / "a").write_text(text)
    with pytest.raises(RmlabError) as refused, writing(tmp_path / "a"):
        pass
    assert str(held(tmp_path / "a")) in str(refused.value) and "remove it" in str(refused.value)
    assert held(tmp_path / "a").read_text() == text
    held(tmp_path / "a").unlink()
    with writing(tmp_path / "a"):
        pass


def test_a_second_process_waits_until_the_first_has_ended(no_locks, tmp_path):
    with other(tmp_path) as process:
        assert process.stdout.readline() == "has it\n"
        told = []

        def busy():
            told.append(time.monotonic())
            process.stdin.write("\n")
            process.stdin.flush()

        with locked(tmp_path, busy):
            assert len(told) == 1
            assert process.stdout.readline() == "gave it back\n"
    assert not list(tmp_path.iterdir())


def test_one_of_many_takes_over_what_was_left(tmp_path):
    """Each in its turn, though all of them find the file of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    (tmp_path / ".rmlab-held").write_text(json.dumps(this_process() | {"process": gone.pid}))
    processes = [other(tmp_path) for _ in range(3)]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    outs = [process.communicate(timeout=120)[0] for process in processes]
    assert all("has it\ngave it back\n" in out for out in outs) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.EWOULDBLOCK, errno.EACCES])
def test_a_lock_that_is_held_is_not_gone_around(monkeypatch, tmp_path, number):
    def flock(file, how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    with (
        pytest.raises(RmlabError, match="^another .* is writing a; wait for it[^;]*$"),
        writing(tmp_path / "a"),
    ):
        pass


def test_a_full_disk_leaves_no_file_that_names_nobody(no_locks, tmp_path, monkeypatch):
    def full(opened, text):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(locks.os, "write", full)
    with pytest.raises(OSError, match="No space left"), locked(tmp_path, lambda: None):
        pass
    assert not list(tmp_path.iterdir())
