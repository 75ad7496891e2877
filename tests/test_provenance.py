"""What git says of the working directory, without a program that its configuration names."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from rmlab.provenance import git_state

IDENTITY = {
    "GIT_AUTHOR_NAME": "n", "GIT_AUTHOR_EMAIL": "e", "GIT_COMMITTER_NAME": "n", "GIT_COMMITTER_EMAIL": "e",
    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip


def git(*words, cwd: Path) -> str:
    """Run as the owner of the folder does it, who wants nothing of what it is configured to run."""
    quiet = (
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.hooksPath=/dev/null",
        "-c",
        "protocol.file.allow=always",
    )
    done = subprocess.run(
        ["git", *quiet, *words],
        cwd=cwd,
        env={**os.environ, **IDENTITY},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    git("init", "-q", cwd=folder)
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text("one\n")
    git("add", ".", cwd=folder)
    git("commit", "-qm", "first", cwd=folder)
    monkeypatch.chdir(folder)
    return folder


def state():
    git_state.cache_clear()
    return git_state()


def test_the_commit_and_whether_files_have_changed(repository, monkeypatch):
    first = git("rev-parse", "HEAD", cwd=repository)
    assert state() == {"commit": first, "changed": False}
    (repository / "new").write_text("not added\n")
    os.utime(repository / "a.txt", (1, 1))  # touched, and the same
    assert state() == {"commit": first, "changed": False}
    (repository / "a.txt").write_text("two\n")
    assert state() == {"commit": first, "changed": True}
    git("add", "a.txt", cwd=repository)
    assert state() == {"commit": first, "changed": True}
    (repository / "below").mkdir()
    monkeypatch.chdir(repository / "below")
    assert state() == {"commit": first, "changed": True}
    git("commit", "-qm", "second", cwd=repository)
    assert state() == {"commit": git("rev-parse", "HEAD", cwd=repository), "changed": False}
    (repository / "b.txt").unlink()
    assert state()["changed"]


def test_a_second_work_tree_and_one_whose_branches_are_packed(repository, monkeypatch):
    git("pack-refs", "--all", cwd=repository)
    git("gc", "-q", cwd=repository)
    assert state() == {"commit": git("rev-parse", "HEAD", cwd=repository), "changed": False}
    git("worktree", "add", "-q", "../other", cwd=repository)
    other = repository.parent / "other"
    (other / "a.txt").write_text("two\n")
    monkeypatch.chdir(other)
    assert state() == {"commit": git("rev-parse", "HEAD", cwd=repository), "changed": True}


def test_without_git_or_a_commit_there_is_nothing_to_tell(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert state() == {}
    git("init", "-q", cwd=tmp_path)
    assert state() == {}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert state() == {}


def hostile(folder: Path, marker: Path) -> None:
    """Whatever git would run to find out what has changed leaves the marker."""
    program = folder.parent / "program"
    program.write_text(f"#!/bin/sh\necho ran >> '{marker}'\ncat\n")
    program.chmod(0o755)
    hooks = folder.parent / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-index-change", "fsmonitor-watchman", "reference-transaction", "post-checkout"):
        (hooks / name).write_text(program.read_text())
        (hooks / name).chmod(0o755)
    settings = {
        "core.fsmonitor": program, "core.hooksPath": hooks, "core.pager": program, "core.sshCommand": program,
        "diff.external": program, "diff.own.textconv": program, "diff.own.command": program,
        "filter.own.clean": program, "filter.own.smudge": program, "filter.other.process": program,
        "pager.status": "true", "status.submoduleSummary": "true", "alias.status": f"!{program}",
        "alias.rev-parse": f"!{program}", "core.alternateRefsCommand": program, "gpg.program": program,
    }  # fmt: skip
    for key, value in settings.items():
        git("config", key, str(value), cwd=folder)
    attributes = "a.txt filter=own diff=own\nb.txt filter=other diff=own\n"
    (folder / ".gitattributes").write_text(attributes)
    info = folder / git("rev-parse", "--git-path", "info/attributes", cwd=folder)
    info.parent.mkdir(exist_ok=True)
    info.write_text(attributes)


def test_nothing_runs_that_the_repository_names(repository):
    marker = repository.parent / "marker"
    git("clone", "-q", str(repository), "part", cwd=repository.parent)
    git("submodule", "add", "-q", str(repository.parent / "part"), "sub", cwd=repository)
    git("commit", "-qm", "with a part", cwd=repository)
    for folder in (repository, repository / "sub"):
        hostile(folder, marker)
        for name in ("a.txt", "b.txt"):
            (folder / name).write_text("two\n")
    subprocess.run(
        ["git", "status"], cwd=repository, env={**os.environ, **IDENTITY}, capture_output=True, check=False
    )
    assert marker.exists(), "the trap is set"
    marker.unlink()
    assert state() == {"commit": git("rev-parse", "HEAD", cwd=repository), "changed": True}
    assert not marker.exists()
