"""tests/siege: what is not survived is counted and said, and what cannot be tried is not called survived."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


@pytest.fixture(scope="module", autouse=True)
def on_path():
    sys.path.insert(0, str(TESTS))
    yield
    sys.path.remove(str(TESTS))


def _outcome(attack, tmp_path):
    from siege.__main__ import _conclude, _try
    from siege.base import Case, Shared

    outcome = _try(Case("group", "name", attack, True), 0, Shared(tmp_path))
    return outcome, _conclude([outcome], tmp_path)


def test_what_a_case_finds_wrong_is_said_and_its_folder_kept(tmp_path, capsys):
    def attack(ground):
        (ground.folder / "kept").touch()
        raise AssertionError("a file was left")

    outcome, code = _outcome(attack, tmp_path)
    said = capsys.readouterr().out
    assert outcome.wrong == "a file was left" and code == 1 and (tmp_path / "group-0" / "kept").exists()
    assert "NOT survived: group: name: a file was left" in said
    assert said.splitlines()[-1] == "siege survived: 0/1"


def test_an_error_of_a_case_counts_and_a_bare_assertion_is_shown(tmp_path):
    def attack(ground):
        raise AssertionError

    assert "raise AssertionError" in _outcome(attack, tmp_path)[0].wrong
    assert "ZeroDivisionError" in _outcome(lambda ground: 1 / 0, tmp_path / "other")[0].wrong


def test_what_cannot_be_tried_is_never_survived(tmp_path, capsys):
    from siege.base import Cannot

    def attack(ground):
        raise Cannot("no such disk")

    outcome, code = _outcome(attack, tmp_path)
    assert outcome.cannot == "no such disk" and code == 1
    assert capsys.readouterr().out.splitlines() == [
        "skipped: group: name: no such disk",
        f"what was left is in {tmp_path}",
        "siege survived: 0/0",
    ]


def test_a_process_that_is_left_alive_is_ended_and_a_fault(tmp_path, monkeypatch):
    import siege.__main__ as harness

    monkeypatch.setattr(harness, "_GONE", 0.3)
    started = []
    outcome, code = _outcome(lambda g: started.append(g.start("60", program=["sleep"])), tmp_path)
    assert outcome.wrong == "left alive: sleep" and code == 1
    assert started[0].process.wait(10) != 0


def test_a_command_is_watched(tmp_path):
    from siege.base import Ground, Shared

    ground = Ground(tmp_path, Shared(tmp_path), "mark")
    ended = ground.python(
        "import sys; print(input()); x = bytearray(1 << 27); sys.exit('rmlab: no')", stdin="hi\n"
    )
    assert ended.refused(1, "no").out == "hi\n"
    assert 1 << 27 < ended.peak < 1 << 33  # with what the process of the tests takes, which it is forked from
    with pytest.raises(AssertionError, match="does not say 'yes'"):
        ended.refused(1, "yes")
    with pytest.raises(AssertionError, match="no end within 1 s"):
        ground.python("import time; time.sleep(60)", seconds=1)
    limited = ground.python("print(open('f', 'w').write('x' * 10**6))", limits="-f 10")
    assert limited.code != 0
    at_terminal = ground.start(
        "-c", "import sys; print(sys.stdin.isatty())", program=[sys.executable], terminal=True
    )
    assert at_terminal.end().out.strip() == "True"


def test_a_terminal_that_is_closed_hangs_up_what_it_runs(tmp_path):
    """Also where this process ignores that signal, as below nohup, which what it starts inherits."""
    from siege.base import Ground, Shared

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    running = Ground(tmp_path, Shared(tmp_path), "mark").start(
        "-c", "print('on', flush=True); import time; time.sleep(60)", program=[sys.executable], terminal=True
    )
    signal.signal(signal.SIGHUP, before)
    running.wait_until_it_says("on")
    running.hang_up()
    assert running.end(30).code == -1  # SIGHUP


def test_an_unknown_group_is_named():
    command = [sys.executable, "-m", "siege", "--only", "nothing"]
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "there is no group nothing" in done.stderr
