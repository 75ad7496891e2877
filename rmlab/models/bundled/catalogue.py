"""Models that need no model hub: carried by a Python package, or made on the spot."""

from __future__ import annotations

from pathlib import Path

from rmlab.models.bundled import minilm, random_tiny, smollm2

_MODULES = {smollm2.NAME: smollm2, minilm.NAME: minilm, random_tiny.NAME: random_tiny}
NAMES = tuple(_MODULES)


def is_carried(name: str) -> bool:
    return name in _MODULES


def identity(name: str) -> str:
    return _MODULES[name].identity()


def folder(name: str) -> Path:
    return _MODULES[name].folder()
