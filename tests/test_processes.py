"""Child processes start afresh, and end with the process that started them."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from rmlab.processes import start_child

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
    with start_child("sleeper", environment={}, stdout=subprocess.PIPE) as child:
        started = int(child.stdout.readline())
        assert child.poll() is None and _lives(started)
        child.stdin.close()
        assert child.wait(30) == -signal.SIGKILL
    for _ in range(1000):
        if not _lives(started):
            break
        time.sleep(0.01)
    assert not _lives(started)


def test_a_child_imports_nothing_from_the_folder_that_it_runs_in(module, tmp_path, monkeypatch):
    module("asks", "import csv, os, sys\nprint(os.environ['WHO'], csv.__file__)\n")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "csv.py").write_text("raise SystemExit('the wrong one')\n")
    (tmp_path / "here" / "asks.py").write_text("raise SystemExit('the wrong one')\n")
    monkeypatch.chdir(tmp_path / "here")
    with start_child("asks", environment={"WHO": "me"}, stdout=subprocess.PIPE) as child:
        told = child.stdout.read().decode()
    assert told.startswith("me ") and str(tmp_path) not in told and child.returncode == 0


def _lives(process: int) -> bool:
    """A process that ended but was not waited for is dead."""
    if not Path("/proc/self").exists():
        pytest.skip("needs /proc")
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
