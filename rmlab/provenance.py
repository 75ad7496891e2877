"""Facts about a run for its records: versions of packages, the state of git, the time."""

from __future__ import annotations

import importlib.metadata
import platform
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from rmlab.processes import run

DISTRIBUTION = "reward-model-lab"  # the name under which package indexes and pip know rmlab
_PACKAGES = (
    DISTRIBUTION,
    "torch",
    "transformers",
    "trl",
    "peft",
    "scikit-learn",
    "lightgbm",
    "numpy",
    "pyarrow",
    "vaderSentiment",
)


def now() -> str:
    """Returns the time in UTC, in ISO format, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@cache
def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        found["rmlab" if package == DISTRIBUTION else package] = version
    return found


def install_line(extra: str) -> str:
    """Returns the command that installs the packages of an extra, by their own names.

    They are the same for rmlab from a checkout, from a wheel or from an index.
    """
    try:
        required = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        required = []
    needed = [
        text
        for text, _, marker in (r.partition(";") for r in required)
        if f"'{extra}'" in marker.replace('"', "'")
    ]
    if not needed:  # run from files that were never installed
        return f"pip install the packages of the extra {extra} in pyproject.toml"
    return " ".join(["pip install", *(f'"{text}"' for text in needed)])


@cache
def git_state() -> dict[str, Any]:
    """Returns the commit of the working directory and whether files have changed; {} outside git."""
    told = _git("rev-parse", "HEAD", "--show-toplevel", "--git-path", "index", "--git-path", "objects")
    if told is None or len(lines := told.splitlines()) != 4:
        return {}
    commit, top, index, objects = lines
    status = _status(commit, top, index, objects)
    return {"commit": commit} | ({} if status is None else {"changed": bool(status)})


def _status(commit: str, top: str, index: str, objects: str) -> str | None:
    """The changed files. A repository's configuration names programs (hooks, filters of files' contents, a
    watcher of the file system) that git would run to find them; here git sees an empty one in its place."""
    try:
        with tempfile.TemporaryDirectory() as empty:
            for folder in ("objects", "refs"):
                (Path(empty) / folder).mkdir()
            (Path(empty) / "HEAD").write_text(f"{commit}\n")
            return _git(
                *("--no-optional-locks", "status", "--porcelain"),
                *("--untracked-files=no", "--ignore-submodules=dirty"),
                GIT_DIR=empty,
                GIT_COMMON_DIR=empty,
                GIT_WORK_TREE=top,
                GIT_INDEX_FILE=str(Path(index).absolute()),
                GIT_OBJECT_DIRECTORY=str(Path(objects).absolute()),
                GIT_CONFIG_GLOBAL="/dev/null",
                GIT_CONFIG_NOSYSTEM="1",
            )
    except OSError:
        return None


def _git(*arguments: str, **environment: str) -> str | None:
    """Returns the output of a git command, or None if it fails."""
    try:
        done = run(["git", *arguments], environment=environment, seconds=10, capture_output=True, text=True)
    except (OSError, UnicodeError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
