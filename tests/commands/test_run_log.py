"""The log of a run, and the one line of an error that no one expected."""

from __future__ import annotations

import json
import logging
import os
import shlex
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest
from small_settings import SMALL

from rmlab.errors import InputError
from rmlab.logs import log
from rmlab.logs.records import LogFile
from rmlab.pipeline.workers import in_workers
from rmlab.stages import prompts as first_stage
from rmlab.sweeps import together as together_module

QUICK = (*SMALL, "sft=none", "golden=[length]", "arms=[]")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache(models, monkeypatch):
    """Without logs; the random model in it is made once."""
    monkeypatch.setenv("RMLAB_CACHE", str(models))
    yield models
    shutil.rmtree(models / "logs", ignore_errors=True)


def logs(folder):
    return sorted((folder / "logs").glob("*.jsonl"))


def records(folder):
    """Of the only log."""
    [file] = logs(folder)
    return [json.loads(x) for x in file.read_text("ascii").splitlines()]


def only(found, event):
    return [r for r in found if r["event"] == event]


def failing(monkeypatch, error):
    def run(job):
        raise error

    monkeypatch.setattr(first_stage, "run", run)


def test_a_run_tells_what_it_was_and_did(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("MY_TOKEN", "secret")
    arguments = ("sample", *QUICK, f"out={tmp_path / 'o'}")
    assert cli(*arguments).code == 0
    [file] = logs(tmp_path / "o")
    frame = pd.read_json(file, lines=True)
    assert len(frame) == len(file.read_text().splitlines())
    assert list(frame["event"][:3]) == ["start", "versions", "settings"] and frame["event"].iloc[-1] == "end"
    found = records(tmp_path / "o")
    start, versions, settings, end = (only(found, e)[0] for e in ("start", "versions", "settings", "end"))
    assert shlex.split(start["command"]) == ["rmlab", *arguments]
    assert start["folder"] == str(Path.cwd()) and start["environment"]["OMP_NUM_THREADS"] == "2"
    assert "secret" not in file.read_text()
    assert versions["versions"]["rmlab"] and settings["settings"]["out"] == str(tmp_path / "o")
    assert end["code"] == 0 and end["seconds"] > 0
    nodes = [(r["stage"], r["state"], r["rows"]) for r in only(found, "node")]
    rows = {s: r for s, state, r in nodes if state == "done"}
    assert nodes == [
        ("prompts", "starts", None), ("prompts", "done", rows["prompts"]),
        ("sample", "starts", None), ("sample", "done", rows["sample"]),
    ]  # fmt: skip
    assert rows["sample"] == 12 * 5 + 6 * 6
    assert ("sample", "starts") in [(r["what"], r["text"]) for r in only(found, "said")]
    file.unlink()
    assert cli(*arguments).code == 0
    assert [(r["stage"], r["state"]) for r in only(records(tmp_path / "o"), "node")] == [
        ("sample", "already")
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", *QUICK, "--dry-run"),
        ("status", *QUICK),
        ("inspect", "nothing-there"),
        ("doctor",),
        ("--version",),
        ("run", *QUICK, "nonsense=1"),
        ("run", "--nonsense"),
    ],
)
def test_commands_that_only_read_and_typing_errors_leave_no_log(cli, arguments, tmp_path, cache, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cli(*arguments)
    assert list(tmp_path.iterdir()) == [] and not (cache / "logs").exists()


def test_an_unexpected_error_is_one_line_with_the_log_and_the_way_on(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failing(monkeypatch, KeyError("x"))
    result = cli("run", *QUICK, "out=o")
    [file] = logs(Path("o"))
    assert result.code == 1
    command = shlex.join(["rmlab", "run", *QUICK, "out=o"])
    assert result.line == f"rmlab: unexpected KeyError: 'x'; log: {file}; go on: {command}"
    found = records(Path("o"))
    [failure] = only(found, "failure")
    assert failure["level"] == "error" and failure["kind"] == "KeyError"
    assert "test_run_log.py" in failure["trace"] and failure["trace"].rstrip().endswith("KeyError: 'x'")
    assert found[-1]["event"] == "end" and found[-1]["code"] == 1


def test_what_was_typed_cannot_break_the_line(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failing(monkeypatch, ValueError("a\nrmlab: all is well\x1b[2K"))
    line = cli("run", *QUICK, "out='o\nb'").line
    assert "ValueError: a rmlab: all is well\\x1b[2K; log: $'o\\u000ab/logs/" in line
    assert "\x1b" not in line and line.endswith(" $'out=\\'o\\u000ab\\''")
    line = cli("run", *QUICK, "out=o", *["seed=7"] * 1000).line
    assert len(line) < 400 and line.endswith("; go on: run the same command again")
    assert only(records(Path("o")), "start")[0]["command"].count(" seed=7") == 1000


def test_an_expected_error_keeps_its_line_and_is_in_the_log(cli, tmp_path, monkeypatch):
    failing(monkeypatch, InputError("the file is odd; mend it"))
    result = cli("sample", *QUICK, f"out={tmp_path / 'o'}")
    assert result.code == 3 and "log" not in result.line and "go on" not in result.line
    [failure] = only(records(tmp_path / "o"), "failure")
    assert (
        failure["kind"] == "InputError"
        and failure["message"] in result.line
        and "Traceback" in failure["trace"]
    )


def test_what_is_found_before_anything_runs_leaves_no_log(cli, cache, tmp_path):
    result = cli("annotate", *QUICK, f"out={tmp_path / 'o'}")
    assert result.code == 3 and "annotate needs prompts" in result.line
    assert not (tmp_path / "o").exists() and not logs(cache)


def test_an_unexpected_error_before_a_folder_is_known_has_its_log_in_the_cache(cli, cache, monkeypatch):
    def load(*rest):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("rmlab.commands.status.load_arms", load)
    result = cli("status", *QUICK)
    [file] = logs(cache)
    assert f"unexpected ZeroDivisionError: oh; log: {file}; go on: rmlab status " in result.line
    assert [r["event"] for r in records(cache)] == ["start", "failure", "versions", "end"]


def test_an_interrupt_keeps_its_line_and_the_log_tells_where(cli, tmp_path, monkeypatch):
    failing(monkeypatch, KeyboardInterrupt())
    result = cli("run", *QUICK, f"out={tmp_path / 'o'}")
    assert result.code == 130 and result.line.startswith("rmlab: interrupted; what is done is kept")
    found = records(tmp_path / "o")
    [stopped] = only(found, "stopped")
    assert stopped["what"] == "prompts" and "test_run_log.py" in stopped["trace"]
    assert [r["event"] for r in found[-2:]] == ["interrupted", "end"] and found[-1]["code"] == 130


def test_without_a_place_for_the_log_the_run_goes_on(cli, tmp_path, cache, monkeypatch):
    out = tmp_path / "o"
    out.mkdir()
    (out / "logs").write_text("a file")
    result = cli("sample", *QUICK, f"out={out}")
    assert result.code == 0 and "log" not in result.err and (out / "logs").read_text() == "a file"
    failing(monkeypatch, KeyError("x"))
    result = cli("run", *QUICK, f"out={tmp_path / 'o'}", "prompts.n_test=5")
    assert result.code == 1 and f"log: {logs(cache)[-1]}; go on:" in result.line
    assert only(records(cache), "failure") and only(records(cache), "node")


def test_with_no_place_at_all_the_error_is_one_line_still(cli, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    (tmp_path / "logs").write_text("")
    monkeypatch.setenv("RMLAB_CACHE", str(tmp_path / "file"))
    failing(monkeypatch, KeyError("x"))
    result = cli("run", *QUICK, f"out={tmp_path}")
    assert (
        result.code == 1
        and "; no log could be written, RMLAB_DEBUG=1 shows where; go on: rmlab run" in result.line
    )


def test_a_log_that_is_full_moves_to_the_cache_for_an_unexpected_error(cli, tmp_path, cache, monkeypatch):
    def run(job):
        full = os.open("/dev/full", os.O_WRONLY)
        log._log.file = LogFile(log._log.file.path, full)
        raise KeyError("x")

    if not Path("/dev/full").is_char_device():
        pytest.skip("needs /dev/full")
    monkeypatch.setattr(first_stage, "run", run)
    result = cli("run", *QUICK, f"out={tmp_path / 'o'}")
    assert f"log: {logs(cache)[-1]}; go on:" in result.line
    assert [r["event"] for r in records(cache)][:3] == ["start", "versions", "settings"]
    assert only(records(cache), "failure")


KILLED = """
import os, signal, sys
from rmlab.stages import sample
sample.run = lambda job: os.kill(os.getpid(), signal.SIGKILL)
from rmlab.cli import main
main()
"""


def test_a_killed_run_leaves_all_that_it_told(tmp_path):
    command = [sys.executable, "-c", KILLED, "sample", *QUICK, f"out={tmp_path}"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, env=environment, timeout=120, check=False)
    assert done.returncode == -9, done.stderr
    found = records(tmp_path)
    assert [(r["stage"], r["state"]) for r in only(found, "node")] == [
        ("prompts", "starts"), ("prompts", "done"), ("sample", "starts"),
    ]  # fmt: skip
    assert found[-1]["event"] == "said" and not only(found, "end")


TROUBLED = """
import logging, warnings
from dataclasses import dataclass
from rmlab.goldens.form import Length

@dataclass(frozen=True)
class Golden(Length):
    def open(self, compute):
        warnings.warn("odd")
        logging.getLogger("some.package").warning("beware")
        raise KeyError("x")
"""


def test_an_unexpected_error_of_a_worker_is_the_same_one_line(cli, tmp_path, monkeypatch):
    (tmp_path / "my_troubled.py").write_text(TROUBLED)
    (tmp_path / "golden").mkdir()
    (tmp_path / "golden" / "troubled.yaml").write_text(
        "# @package golden.troubled\n_target_: my_troubled.Golden\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    settings = [*QUICK, "out=o", "prompts_per_shard=3"]
    assert cli("sample", *settings).code == 0
    [file] = logs(Path("o"))
    file.unlink()
    settings += ["golden=[troubled]", "allow_modules=[my_troubled]", "workers=2"]
    result = cli("annotate", *settings, "--config-dir", str(tmp_path))
    [file] = logs(Path("o"))
    assert result.code == 1
    assert f"unexpected KeyError in a worker process: 'x'; log: {file}; go on: rmlab annotate" in result.line
    assert "odd" not in result.err and "beware" not in result.err
    found = records(Path("o"))
    [failure] = only(found, "failure")
    assert 'raise KeyError("x")' in failure["trace"] and "my_troubled.py" in failure["trace"]
    said = only(found, "library")
    assert {(r["source"], r["text"]) for r in said} == {("UserWarning", "odd"), ("some.package", "beware")}
    assert failure["pid"] == os.getpid() and os.getpid() not in {r["pid"] for r in said}


def test_a_bug_in_a_cell_is_a_row_and_its_trace_is_in_the_log(cli, out, inline, monkeypatch):
    def judge(scored, data):
        raise KeyError("x")

    monkeypatch.setattr(together_module, "judge_cell", judge)
    result = cli("sweep", *SMALL, f"out={out}", "seed=0,1", "--json")
    assert result.code == 4
    found = only(records(out), "trouble")
    assert len(found) == 2 and all('raise KeyError("x")' in r["trace"] and r["cell"] for r in found)


def warned(tasks, tell):
    for n in tasks:
        logging.getLogger("some.package").warning("beware of %d", n)
        tell(n)


def test_workers_of_a_sweep_write_to_the_same_log(tmp_path):
    log.start(["rmlab", "sweep"])
    try:
        log.keep_in(str(tmp_path), {})
        assert sorted(in_workers(warned, [1, 2, 3], [{}, {}], "--workers")) == [1, 2, 3]
    finally:
        log.stop()
    found = only(records(tmp_path), "library")
    assert {r["text"] for r in found} == {f"beware of {n}" for n in (1, 2, 3)}
    assert os.getpid() not in {r["pid"] for r in found}


def test_a_component_that_ends_the_process_does_not_end_it_silently(cli, tmp_path, monkeypatch):
    failing(monkeypatch, SystemExit(0))
    result = cli("run", *QUICK, f"out={tmp_path}")
    assert result.code == 1 and "a component ended the process (sys.exit); fix it" in result.line
    assert "SystemExit" in only(records(tmp_path), "failure")[0]["trace"]


def test_what_libraries_say_is_in_the_log_alone(cli, tmp_path, monkeypatch):
    def run(job):
        logging.getLogger("some.package").warning("beware\nrmlab: forged")
        warnings.warn("odd", UserWarning, stacklevel=1)
        job.progress.warn("few rows")
        raise KeyError("x")

    monkeypatch.setattr(first_stage, "run", run)
    result = cli("run", *QUICK, f"out={tmp_path}")
    assert "beware" not in result.err and "odd" not in result.err and "warning: few rows" in result.err
    found = [(r["event"], r.get("text")) for r in records(tmp_path) if r["level"] == "warning"]
    assert found[:3] == [("library", "beware\nrmlab: forged"), ("library", "odd"), ("said", "few rows")]


def test_to_debug_the_traceback_is_on_the_terminal_and_in_the_log(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("RMLAB_DEBUG", "1")
    failing(monkeypatch, KeyError("x"))
    result = cli("run", *QUICK, f"out={tmp_path}")
    assert "Traceback" in result.err and result.err.splitlines()[-1].startswith(
        "rmlab: unexpected KeyError: 'x'; log: "
    )
    assert only(records(tmp_path), "failure")
