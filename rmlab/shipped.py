"""Where conf/ and data/ are: inside an installed wheel, or beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path

from rmlab.errors import RmlabError
from rmlab.home import home_path

_PACKAGE = Path(__file__).parent
PREFIX = "shipped:"


def shipped(name: str) -> Path:
    """The path of a shipped file or folder, such as `conf` or `data/prompts/openings.jsonl`."""
    for root in (_PACKAGE / "shipped", _PACKAGE.parent):
        if (root / name).exists():
            return root / name
    raise RmlabError(f"{name} is not shipped with this installation of rmlab; install it again")


def user_path(text: str) -> Path:
    """A path as a user writes it; `shipped:NAME` means a file in the shipped data folder."""
    if text.startswith(PREFIX):
        return shipped("data/" + text.removeprefix(PREFIX))
    return home_path(text)
