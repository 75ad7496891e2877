"""Where hostile cases lie, and what is watched while they run."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import fuzz_case
import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key

from rmlab.storage.untrusted import child_of
from rmlab.storage.untrusted_bounds import TABLE, TENSOR


@pytest.fixture(scope="session", autouse=True)
def watched(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[None]:
    """Temporary files and the cache have folders of their own; anything else that is written is a failure."""
    before = {name: os.environ.get(name) for name in ("TMPDIR", "RMLAB_CACHE")}
    for name in before:
        os.environ[name] = str(tmp_path_factory.mktemp(name.lower()))
    tempfile.tempdir = os.environ["TMPDIR"]
    for kind in (TABLE, TENSOR):
        child_of(kind)  # a case that starts a program is a failure
    fuzz_case.watch(pytestconfig.stash.get(fault_handler_stderr_fd_key, 2))
    yield
    tempfile.tempdir = None
    fuzz_case.save_counts()
    for name, value in before.items():
        os.environ.pop(name)
        if value is not None:
            os.environ[name] = value


@pytest.fixture
def cases(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], fuzz_case.Cases]:
    return lambda reader: fuzz_case.Cases(reader, tmp_path)
