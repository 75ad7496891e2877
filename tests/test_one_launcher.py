"""No module and no script starts a process but through rmlab/processes.py."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAUNCHER = ROOT / "rmlab" / "processes.py"
FORKS = ROOT / "rmlab" / "storage" / "untrusted_child.py"  # one for each file; a fork imports nothing anew
MODULES = {
    "subprocess",
    "_posixsubprocess",
    "pty",
    "multiprocessing",
    "joblib",
    "loky",
    "torch.multiprocessing",
}
CONNECTIONS = {"multiprocessing.Pipe", "multiprocessing.connection", "multiprocessing.connection.Connection"}
CONNECTIONS |= {"multiprocessing.connection.wait"}
CALLS = {"system", "popen", "fork", "forkpty", "startfile", "posix_spawn", "posix_spawnp"}
ENDINGS = ("ProcessPoolExecutor", "create_subprocess_exec", "create_subprocess_shell", "subprocess_exec")


def starts(text: str) -> Iterator[str]:
    """The names in a module that can start a process."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if is_forbidden(a.name))
        elif isinstance(node, ast.ImportFrom):
            yield from (n for a in node.names if is_forbidden(n := f"{node.module}.{a.name}"))
        elif isinstance(node, ast.Attribute) and is_forbidden(name := ast.unparse(node)):
            yield name


def is_forbidden(name: str) -> bool:
    if name in CONNECTIONS:
        return False
    module, _, last = name.rpartition(".")
    if module == "os":
        return last in CALLS or last.startswith(("exec", "spawn"))
    parts = name.split(".")
    within = {".".join(parts[:n]) for n in range(1, len(parts) + 1)}
    return bool(within & MODULES) or name.endswith(ENDINGS)


def test_no_other_place_starts_a_process():
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for folder in ("rmlab", "scripts")
        for path in (ROOT / folder).rglob("*.py")
        if path != LAUNCHER
        for name in starts(path.read_text())
        if (path, name) != (FORKS, "os.fork")
    }
    assert found == set(), "start it with rmlab.processes.run or rmlab.processes.Child"


@pytest.mark.parametrize(
    "text",
    [
        "import subprocess",
        "import subprocess as s",
        "from subprocess import run",
        "import os\nos.system('x')",
        "from os import popen as p",
        "import os\nos.execve('x', [], {})",
        "import os\nos.posix_spawn('x', [], {})",
        "import pty",
        "import multiprocessing",
        "from multiprocessing import Process",
        "from multiprocessing.pool import Pool",
        "import torch\ntorch.multiprocessing.spawn(print)",
        "from concurrent.futures import ProcessPoolExecutor",
        "import asyncio\nasyncio.create_subprocess_exec('x')",
        "from joblib import Parallel",
    ],
)
def test_what_starts_a_process_is_seen(text):
    assert list(starts(text))


def test_pipes_and_plain_words_are_none():
    assert not list(
        starts("from multiprocessing import Pipe\nimport os\nos.environ\nx.system\nos.path.exists('a')")
    )
