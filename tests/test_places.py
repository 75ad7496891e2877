"""Odd places and names: one line where they cannot be, folders that every command finds where they can."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from multiprocessing import get_context
from multiprocessing.shared_memory import SharedMemory

import pytest
from artifact_kinds import artifacts, files_of, flip
from small_settings import SMALL

from rmlab.errors import RmlabError
from rmlab.paths import cache_folder, folder_name


def prompts(file):
    rows = [{"prompt": f"say {i}", "split": "test" if i % 3 else "train"} for i in range(18)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.mark.parametrize("name", [".hidden", "a\nb<i>", "l" * 240])
def test_a_file_of_any_name_gives_folders_that_are_found(cli, tmp_path, name):
    file = prompts(tmp_path / f"{name}.jsonl")
    out = tmp_path / "a"
    settings = ["prompts=file", "prompts.template=plain", "sft=none", f'prompts.path="{file}"', f"out={out}"]
    assert cli("sample", *SMALL, *settings).code == 0
    assert "2 whole" in cli("verify", out).out
    found = next(a for a in artifacts(out) if a.parent.name == "prompts")
    assert found.name.rpartition("-")[0] == folder_name(name)
    flip(files_of(found)[-1], 200)
    result = cli("verify", out)
    assert result.code == 3 and "1 damaged" in result.line


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("..", "unnamed"),
        ("", "unnamed"),
        ("-x", "x"),
        ("ümläut", "ümläut"),
        ("提示" * 40, "提示" * 13),
        ("\udc80a", "a"),
        ("a/b", "a_b"),
        ("x" * 99, "x" * 80),
        ("gemma-2b", "gemma-2b"),
    ],
)
def test_names_of_folders(text, name):
    assert folder_name(text) == name


def test_places_that_cannot_be_are_one_line(cli, tmp_path):
    file = prompts(tmp_path / "p.jsonl")
    for command, code, message in [
        (["status", f"out={file}"], 2, f"{file} is a file; give a folder"),
        (["run", f"out={file}/x", "--dry-run"], 2, f"{file} is a file; give a folder"),
        (["status", "out=''"], 2, "out"),
        (["status", 'out="~nosuchuser/x"'], 3, "no such place"),
        (["status", 'model="~nosuchuser/x"', "sampler=transformers"], 3, "no such place"),
        (["status", "prompts=file", "prompts.path=''"], 3, "the path is empty"),
    ]:
        result = cli(command[0], *SMALL, *command[1:])
        assert result.code == code and message in result.line, command
    assert "no such place" in cli("verify", "~nosuchuser/x").line


@pytest.mark.parametrize("command", ["export", "release"])
def test_an_output_of_nobody(cli, out, command):
    more = ["release.license=CC-BY-4.0"] if command == "release" else []
    place = "~nosuchuser/x" + (".jsonl" if command == "export" else "")
    result = cli(command, place, *SMALL, f"out={out}", *more)
    assert result.code == 3 and "no such place" in result.line


def test_damage_stops_a_sweep_and_shows_in_dry_runs(cli, out):
    embed = next(a for a in artifacts(out) if a.parent.name == "embed")
    flip(files_of(embed)[-1], 200)
    for more in ([], ["--dry-run"]):
        result = cli("sweep", *SMALL, "arms=[]", "head=linear", "seed=0,1", f"out={out}", *more)
        assert result.code == 3 and f"rmlab verify --repair {embed}" in result.line
    stages = cli("run", *SMALL, f"out={out}", "--dry-run", "--json").json["stages"]
    assert {s["stage"]: s["state"] for s in stages}["embed"] == "damaged"


def test_an_arm_that_writes_elsewhere(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arms = "arms=['head=linear','head=linear noise.error=0.3 out=elsewhere']"
    result = cli("run", *SMALL, arms, "--dry-run")
    assert result.code == 2 and "changes out" in result.line


def test_a_cache_that_cannot_be_written(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("RMLAB_CACHE", str(prompts(tmp_path / "p.jsonl")))
    result = cli("sample", *SMALL, "sampler=transformers", "sft=none", f"out={tmp_path / 'a'}")
    assert result.code == 1 and "point RMLAB_CACHE at a folder that can be written" in result.line


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_without_a_terminal_or_any_stream(tmp_path, closed):
    """As daemons and cron may start it."""
    command = f"'{sys.executable}' -m rmlab sample " + " ".join(f'"{s}"' for s in SMALL)
    done = subprocess.run(["bash", "-c", f"{command} sft=none out=a {closed}"], cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert {a.parent.name for a in artifacts(tmp_path / "a")} == {"prompts", "sample"}


def test_the_same_prompt_in_both_splits_is_warned_of(cli, tmp_path):
    rows = [
        {"prompt": f"say {i}", "split": "test" if i % 3 else "train", "prompt_id": f"p{i}"} for i in range(18)
    ]
    rows[1]["prompt"] = rows[0]["prompt"]
    file = tmp_path / "p.jsonl"
    settings = [*SMALL, "prompts=file", "prompts.template=plain", "sft=none", f"prompts.path={file}"]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = cli("sample", *settings, f"out={tmp_path / 'a'}")
    assert result.code == 0 and "1 train prompts are of groups that have test prompts too" in result.err
    rows[0]["group"] = "another"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = cli("sample", *settings, f"out={tmp_path / 'a'}")
    assert result.code == 0 and "1 test prompts are train prompts too, word by word" in result.err


def test_scores_beyond_all_sums_are_no_scores(cli, tmp_path):
    rows = [
        {"prompt": f"say {i // 2}", "response": f"it is {i}", "score": 1e308 if i == 3 else i}
        for i in range(40)
    ]
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = cli("import", tmp_path / "s.jsonl", f"out={tmp_path / 'a'}")
    assert result.code == 0 and "failed on 1 of 40 responses" in result.err and "1e+308" in result.err


def test_an_export_of_what_is_damaged_says_so(cli, out, tmp_path):
    for annotate in (a for a in artifacts(out) if a.parent.name == "annotate"):
        flip(files_of(annotate)[-1], 200)
    result = cli("export", tmp_path / "p.jsonl", *SMALL, f"out={out}")
    assert result.code == 3 and f"rmlab verify --repair {out / 'annotate'}" in result.line


def test_without_a_home_folder(cli, tmp_path, monkeypatch):
    """As in a container whose user has no name."""
    import pwd

    def unknown(_):
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.delenv("RMLAB_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(RmlabError, match="no home folder; set HOME.*RMLAB_CACHE"):
        cache_folder("models")
    result = cli("sample", *SMALL, "out='~/a'")
    assert result.code in (2, 3) and "there is no home folder; set HOME" in result.line


@pytest.mark.parametrize(
    "error",
    [RuntimeError("can't start new thread"), BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))],
)
def test_at_the_limit_of_processes(cli, tmp_path, monkeypatch, error):
    def fails(job):
        raise error

    monkeypatch.setattr("rmlab.stages.prompts.run", fails)
    result = cli("sample", *SMALL, "sft=none", f"out={tmp_path / 'a'}")
    assert result.code == 1 and "no more processes or threads" in result.line and "ulimit -u" in result.line


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOENT])
@pytest.mark.parametrize(
    "ask", [lambda: get_context("spawn").Lock(), lambda: SharedMemory(create=True, size=8)]
)
def test_without_shared_memory(cli, tmp_path, monkeypatch, number, ask):
    """As a library or a component asks for it where /dev/shm is read-only or missing."""

    def refused(*arguments, **named):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("multiprocessing.synchronize._multiprocessing.SemLock", refused)
    monkeypatch.setattr("multiprocessing.shared_memory._posixshmem.shm_open", refused)
    monkeypatch.setattr("rmlab.stages.prompts.run", lambda job: ask())
    result = cli("sample", *SMALL, "sft=none", f"out={tmp_path / 'a'}")
    assert result.code == 1 and "mount /dev/shm" in result.line and os.strerror(number) in result.line
