"""Two small sets of stand-ins, made once; tests that change one take a copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from set_helpers import TWO, release


@pytest.fixture(scope="session")
def set_artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the artifacts of all small sets are."""
    return tmp_path_factory.mktemp("sets") / "artifacts"


@pytest.fixture(scope="session")
def small_set(set_artifacts: Path) -> Path:
    """Policies a and b, rewards sentiment and length, embedders wide (64) and narrow (40)."""
    return release(set_artifacts, set_artifacts.parent / "small", *TWO)


@pytest.fixture
def copied(small_set: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_set, tmp_path / "small"))


@pytest.fixture
def make(set_artifacts: Path, tmp_path: Path) -> Callable[..., Path]:
    """A set of other settings, on the same artifacts where they are the same."""
    return lambda name, *overrides: release(set_artifacts, tmp_path / name, *overrides)
