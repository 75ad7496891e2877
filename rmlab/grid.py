"""A grid over settings: `head=linear,mlp seed=0,1,2` as one list of overrides for each combination."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmlab.config import Override, compose, typed, unresolved
from rmlab.errors import ConfigError
from rmlab.settings import Settings


@dataclass(frozen=True)
class Point:
    """One combination: its overrides, its value on each axis as typed on the command line, its settings."""

    overrides: tuple[str, ...]
    axes: dict[str, str]
    settings: Settings


def points(overrides: Sequence[str], config_dir: Path | None = None) -> list[Point]:
    """All combinations, the last axis fastest. Commas separate values, as in Hydra's multirun."""
    parsed = [Override.parse(text) for text in overrides]
    repeated = {p.key for p in parsed if sum(q.key == p.key for q in parsed) > 1}
    if repeated:
        raise ConfigError(f"'{min(repeated)}' is given twice; write its values in one: key=a,b")
    swept = [p for p in parsed if len(p.values) > 1]
    fixed = [p.text for p in parsed if len(p.values) == 1]
    composer = _Composer(fixed, config_dir)
    found = []
    for values in itertools.product(*(p.values for p in swept)):
        axes = dict(zip((p.key for p in swept), values, strict=True))
        chosen = [f"{key}={value}" for key, value in axes.items()]
        found.append(Point((*fixed, *chosen), axes, composer.settings(chosen)))
    return found


class _Composer:
    """Hydra composes each choice of files once; plain values are then set in copies of the result."""

    def __init__(self, fixed: Sequence[str], config_dir: Path | None) -> None:
        self.fixed, self.config_dir = list(fixed), config_dir
        self._known: dict[tuple[str, ...], dict[str, Any]] = {}
        self._plain: dict[str, bool] = {}

    def settings(self, chosen: Sequence[str]) -> Settings:
        composed = tuple(c for c in chosen if not self._is_plain(c.partition("=")[0]))
        if composed not in self._known:
            self._known[composed] = compose([*self.fixed, *composed], self.config_dir)
        config = copy.deepcopy(self._known[composed])
        if all(_set(config, Override.parse(c)) for c in chosen if c not in composed):
            return typed(config)
        return typed(compose([*self.fixed, *chosen], self.config_dir))  # Hydra says what is wrong

    def _is_plain(self, key: str) -> bool:
        """Whether the key names a value that nothing else refers to, rather than a choice of file."""
        if key not in self._plain:
            base = unresolved(self.fixed, self.config_dir)
            referred = any(f"${{{key}" in text for text in _texts(base))
            self._plain[key] = (
                not referred
                and key.isidentifier() is ("." not in key)
                and ("." in key or not isinstance(base.get(key), dict | list | type(None)))
            )
        return self._plain[key]


def _set(config: dict[str, Any], override: Override) -> bool:
    """False if the configuration has no such place."""
    *path, last = override.key.split(".")
    place: Any = config
    for name in path:
        place = place.get(name) if isinstance(place, dict) else None
    if not isinstance(place, dict) or last not in place or isinstance(place[last], dict):
        return False
    place[last] = override.value
    return True


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value
