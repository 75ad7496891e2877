"""The bundled models, which need no model hub: they come with a Python package or are generated."""

from __future__ import annotations

from pathlib import Path

from rmlab.models.bundled import minilm, random_tiny, smollm2

_MODULES = {smollm2.NAME: smollm2, minilm.NAME: minilm, random_tiny.NAME: random_tiny}
NAMES = tuple(_MODULES)


def is_bundled(name: str) -> bool:
    return name in _MODULES


def identity(name: str) -> str:
    """Returns the identity of its contents."""
    return _MODULES[name].identity()


def check(name: str) -> None:
    """Raises InputError where the package that the model comes with is not installed."""
    _MODULES[name].check()


def widths(name: str) -> tuple[int, int]:
    """Returns the widths of its hidden states and of its inner layers."""
    return _MODULES[name].WIDTHS


def folder(name: str) -> Path:
    """Returns its folder, made or converted at first use."""
    return _MODULES[name].folder()
