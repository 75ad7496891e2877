"""scripts/setup.sh: what a system lacks is one line with the command that installs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "setup.sh"
OWN = {"reward-model-lab", "pip", "wheel"}


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


LOCKED = "install --require-hashes --no-deps --no-build-isolation -r locks/{}.txt"
TORCH = "install -c constraints.txt {}torch"
OWN_CODE = "install --no-deps --no-build-isolation -e ."


@pytest.mark.parametrize(
    ("script", "arguments", "locks"),
    [
        ("setup.sh", ["demo"], ["build", "demo"]),
        ("setup.sh", ["dev"], ["build", "demo", "dev"]),
        ("setup_vllm.sh", [], ["build", "vllm"]),
    ],
)
@pytest.mark.parametrize("torch_index", ["", "file:///nowhere"])
def test_all_but_torch_and_rmlab_itself_comes_with_hashes(tmp_path, script, arguments, locks, torch_index):
    """A stand-in for the environment's Python writes down what pip is asked for."""
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$@" >> asked\n')
    for stand_in in (python, stub := tmp_path / "python", uname := tmp_path / "uname"):
        stand_in.touch()
        stand_in.chmod(0o755)
    stub.write_text("#!/bin/sh\nexit 0\n")
    uname.write_text("#!/bin/sh\necho Linux x86_64\n")
    grep = tmp_path / "grep"  # it is asked for the processor
    grep.write_text("#!/bin/sh\nexit 0\n")
    grep.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PYTHON": str(stub), "TORCH_INDEX": torch_index, "PATH": path}
    command = ["sh", str(ROOT / "scripts" / script), str(tmp_path / "venv"), *arguments]
    subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, check=True)
    asked = [line.partition("--quiet ")[2] for line in (tmp_path / "asked").read_text().splitlines()]
    torch = TORCH.format(f"--index-url {torch_index} " if torch_index else "")
    torch = torch.replace("constraints", "constraints-vllm") if "vllm" in script else torch
    assert asked == [*(LOCKED.format(lock) for lock in locks), torch, OWN_CODE]


def test_the_environment_of_the_audit_comes_with_hashes():
    [line] = [
        text for text in (ROOT / "Makefile").read_text().splitlines() if "pip" in text and "install" in text
    ]
    assert "install --require-hashes --no-deps -r locks/audit.txt" in line


def name_of(text):
    return re.sub(r"[-_.]+", "-", text).lower()


def pinned(file):
    lines = [line for line in (ROOT / file).read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines)
    found = {name_of(name): version for name, _, version in (line.partition("==") for line in lines)}
    assert len(found) == len(lines), "a name twice"
    return found


@pytest.mark.skipif(
    not (Path(sys.prefix) / ".ready-dev").exists(), reason="not in the environment that make setup-dev makes"
)
def test_all_that_set_up_installs_is_pinned():
    installed = {name_of(d.name): d.version.partition("+")[0] for d in distributions() if d.name}
    assert {k: v for k, v in installed.items() if k not in OWN} == {
        k: v for k, v in pinned("constraints.txt").items() if k in installed
    }


@pytest.mark.parametrize("file", ["constraints.txt", "constraints-vllm.txt", "constraints-audit.txt"])
def test_pins_are_exact(file):
    assert len(pinned(file)) > 20


def test_the_packages_of_models_are_pinned_as_the_code_knows_them():
    from rmlab.models.bundled import minilm, smollm2

    pins = pinned("constraints.txt")
    assert pins[minilm.PACKAGE] == minilm.VERSION
    for found in (pins, pinned("constraints-vllm.txt")):
        assert found[smollm2.PACKAGE] == smollm2.VERSION
