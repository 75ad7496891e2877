"""Child processes start afresh, import nothing by chance, and end with the process that started them."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

from rmlab.processes import Child, run

SLEEPER = """
import subprocess, time
from rmlab.processes import end_with_parent
end_with_parent()
child = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL)
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module into a folder that this process imports from."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda name, text: (tmp_path / f"{name}.py").write_text(text)


def test_a_child_and_what_it_has_started_end_when_its_input_does(module):
    module("sleeper", SLEEPER)
    with Child("sleeper", environment={}, is_read=True) as child:
        started = int(child.stdout.readline())
        assert child.poll() is None and _lives(started)
        child.stdin.close()
        assert child.wait(30) == -signal.SIGKILL
    assert _ends(started)


def test_a_child_imports_nothing_from_the_folder_that_it_runs_in(module, tmp_path, monkeypatch):
    module("asks", "import csv, os, sys\nprint(os.environ['WHO'], csv.__file__)\n")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "csv.py").write_text("raise SystemExit('the wrong one')\n")
    (tmp_path / "here" / "asks.py").write_text("raise SystemExit('the wrong one')\n")
    monkeypatch.chdir(tmp_path / "here")
    with Child("asks", environment={"WHO": "me"}, is_read=True) as child:
        told = child.stdout.read().decode()
    assert told.startswith("me ") and str(tmp_path) not in told and child.returncode == 0
    done = run([sys.executable, "-c", "import csv; print(csv.__file__)"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout and str(tmp_path) not in done.stdout


def test_the_current_folder_that_is_asked_for_is_imported_from_wherever_a_process_runs(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", ".")
    done = run([sys.executable, "-c", "import mine"], cwd=tmp_path / "below", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


FORKS = """
import os, signal, time
for _ in range(2):
    pid = os.fork()
    if pid == 0:
        time.sleep(600)
    print(pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_child_has_forked_holds_up_nobody(module):
    """Both processes hold the pipe that is read here."""
    module("forks", FORKS)
    child = Child("forks", environment={}, is_read=True)
    told = child.stdout.read().split()  # to the end, which comes
    assert child.wait(30) == -signal.SIGKILL
    assert len(told) == 2 and all(_ends(int(pid)) for pid in told)


def test_a_child_that_is_stopped_is_gone_with_what_it_has_started(module):
    module("sleeper", SLEEPER.replace("end_with_parent()", "pass"))
    child = Child("sleeper", environment={}, is_read=True)
    started = int(child.stdout.readline())
    child.stop()
    assert child.returncode == -signal.SIGKILL and _ends(started)
    child.stop()  # and nothing is wrong with that


def test_a_program_that_takes_too_long_is_an_error_of_the_system():
    with pytest.raises(TimeoutError, match="sleep takes longer than 0.05 seconds"):
        run(["sleep", "600"], seconds=0.05)


def _ends(process: int) -> bool:
    until = time.monotonic() + 10
    while _lives(process) and time.monotonic() < until:
        time.sleep(0.01)
    return not _lives(process)


def _lives(process: int) -> bool:
    """A process that ended but was not waited for is dead."""
    if not Path("/proc/self").exists():
        pytest.skip("needs /proc")
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
