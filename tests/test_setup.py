"""scripts/setup.sh: what a system lacks is one line with the command that installs it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "setup.sh"


def setup(tmp_path, python):
    environment = {**os.environ, "PYTHON": str(python)}
    command = ["sh", str(SCRIPT), str(tmp_path / "venv"), "demo"]
    return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)


def python_without(tmp_path, word):
    """A stand-in for a Python that fails on code that holds a word."""
    stub = tmp_path / "python"
    stub.write_text(
        f'#!/bin/sh\ncase "$*" in *{word}*) exit 1;; *--version*) echo Python 3.9.1;; esac\nexit 0\n'
    )
    stub.chmod(0o755)
    return stub


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("version_info", "Python 3.9.1 is too old; name a newer one: make PYTHON="),
        ("ensurepip", "no venv module; install it: apt-get install python3-venv"),
        ("libgomp", "libgomp is missing; install it: apt-get install libgomp1"),
    ],
)
def test_what_is_missing_is_one_line(tmp_path, word, message):
    done = setup(tmp_path, python_without(tmp_path, word))
    assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "venv").exists()


def test_no_python_at_all(tmp_path):
    done = setup(tmp_path, tmp_path / "nowhere")
    assert done.returncode == 2 and "apt-get install python3" in done.stderr
