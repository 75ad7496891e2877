"""Facts about a run for its records: versions of packages, the state of git, the time."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from typing import Any

_PACKAGES = (
    "rmlab",
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
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@cache
def git_state() -> dict[str, Any]:
    """Returns the commit of the working directory and whether files have changed; {} outside git."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return {}
    return {"commit": commit, "changed": bool(_git("status", "--porcelain", "--untracked-files=no"))}


def _git(*arguments: str) -> str | None:
    """Returns the output of a git command, or None if it fails."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
