"""The hub on loopback, and one head and one embedding set to send to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from set_helpers import A, release
from stand_in import TOKEN, HubWorld, served


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubWorld]:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with served() as found:
        yield found


@pytest.fixture
def cli(cli: Callable[..., Any], world: HubWorld) -> Callable[..., Any]:
    """The command line, whose hub is the one on loopback."""

    def call(*arguments: object) -> Any:
        given = () if "--endpoint" in arguments else ("--endpoint", world.address)
        return cli(*arguments, *given)

    return call


@pytest.fixture(scope="session")
def fit(small_run: Path) -> Path:
    return next((small_run / "fit_rm").glob("linear-*"))


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("released")
    return release(place / "artifacts", place / "tiny", A)
