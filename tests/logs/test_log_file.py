import errno
import json
import os
import re
import resource
import signal

import pytest

from rmlab.logs.records import KEPT, LogFile
from rmlab.machine import this_process


@pytest.fixture
def file(tmp_path):
    made = LogFile.create(tmp_path / "logs", "run")
    yield made
    made.close()


def test_a_name_tells_the_time_the_command_and_the_process(file):
    assert re.fullmatch(rf"\d{{8}}T\d{{6}}Z-run-{os.getpid()}\.jsonl", file.path.name)


def test_two_of_the_same_second_and_number_have_files_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "rmlab.logs.records._names", lambda command: iter(["a.jsonl", "a-2.jsonl", "a-3.jsonl"])
    )
    files = [LogFile.create(tmp_path, "run") for _ in range(3)]
    for n, file in enumerate(files):
        assert file.append(b"%d\n" % n)
        file.close()
    assert [(tmp_path / f"a{n}.jsonl").read_text() for n in ("", "-2", "-3")] == ["0\n", "1\n", "2\n"]


def test_several_write_at_the_end(file):
    other = LogFile.join(file.path)
    for n in range(10):
        assert (file, other)[n % 2].append(b"line %d\n" % n)
    other.close()
    assert file.path.read_bytes().splitlines() == [b"line %d" % n for n in range(10)]


def test_joining_makes_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        LogFile.join(tmp_path / "gone.jsonl")


def test_of_a_line_that_has_no_room_nothing_stays(file):
    """The limit on the size of files cuts a write as a full disk does."""
    assert file.append(b"first\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        assert not file.append(b"x" * 100 + b"\n")
        assert file.append(b"abc\n")
        assert not file.append(b"y\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert file.path.read_bytes() == b"first\nabc\n"
    assert file.append(b"last\n") and file.path.read_bytes() == b"first\nabc\nlast\n"


def test_the_oldest_make_room_and_what_is_no_log_stays(tmp_path):
    names = [f"20260101T0000{n:02d}Z-run-{n}.jsonl" for n in range(60)]
    names += [f"20200101T0000{n:02d}Z-fit-rm-{n}-2.jsonl" for n in range(60)]  # of a clock that was wrong
    for age, name in enumerate(names):
        (tmp_path / name).write_text("{}\n")
        os.utime(tmp_path / name, (1e9 + age, 1e9 + age))
    others = ["notes.jsonl", "20260101T000000Z-run-1.jsonl.bak"]
    for name in others:
        (tmp_path / name).write_text("mine")
        os.utime(tmp_path / name, (1, 1))
    (tmp_path / "20190101T000000Z-run-1.jsonl").symlink_to(tmp_path / "notes.jsonl")
    new = LogFile.create(tmp_path, "run")
    new.close()
    left = {p.name for p in tmp_path.iterdir()} - {*others, "20190101T000000Z-run-1.jsonl"}
    assert left == {*names[-(KEPT - 1) :], new.path.name} and len(left) == KEPT
    assert all((tmp_path / name).read_text() == "mine" for name in others)


def old_log(folder, n, *records):
    path = folder / f"20200101T000000Z-run-{n}.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    os.utime(path, (n, n))
    return path


def full(folder):
    for n in range(KEPT + 10):
        old_log(folder, 1000 + n, {})


def test_logs_of_running_processes_stay(tmp_path):
    full(tmp_path)
    running = LogFile.join(old_log(tmp_path, 1))
    ended = LogFile.join(old_log(tmp_path, 2))
    ended.close()
    LogFile.create(tmp_path, "run").close()
    assert running.path.is_file() and not ended.path.is_file()
    running.close()
    LogFile.create(tmp_path, "run").close()
    assert not running.path.is_file()


def test_without_locks_a_log_goes_if_it_says_that_its_process_has_ended(tmp_path, monkeypatch):
    def no_locks(file, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("rmlab.logs.records.fcntl.flock", no_locks)
    full(tmp_path)
    mine, gone = this_process(), this_process() | {"process": 2**22 + 1}
    kept = [
        old_log(tmp_path, 1, mine, {"event": "progress"}),
        old_log(tmp_path, 2, gone | {"host": "elsewhere"}, {"event": "progress"}),
        old_log(tmp_path, 3, gone | {"system": "another container"}),
        old_log(tmp_path, 4),
    ]
    goes = [old_log(tmp_path, 5, mine, {"event": "end"}), old_log(tmp_path, 6, gone)]
    LogFile.create(tmp_path, "run").close()
    assert all(path.is_file() for path in kept) and not any(path.is_file() for path in goes)
