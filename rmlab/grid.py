"""A grid over settings: `head=linear,mlp seed=0,1,2` as one list of overrides for each combination."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmlab.config import Override, compose, compose_both, typed, unresolved
from rmlab.errors import ConfigError, RmlabError
from rmlab.settings import Settings


@dataclass(frozen=True)
class Point:
    """One combination: its overrides, its value on each axis as typed on the command line, its settings."""

    overrides: tuple[str, ...]
    axes: dict[str, str]
    settings: Settings


def points(
    overrides: Sequence[str], config_dir: Path | None = None, composer: Composer | None = None
) -> list[Point]:
    """All combinations, the last axis fastest. Commas separate values, as in Hydra's multirun.

    composer: what other grids have composed is used again; its own overrides come before these.
    """
    parsed = [_parsed(text) for text in overrides]
    keys = Counter(p.key for p in parsed)
    repeated = {p.key for p in parsed if _is_swept(p) and keys[p.key] > 1}
    if repeated:  # of plain overrides the last counts, as in every command
        raise ConfigError(f"'{min(repeated)}' is given twice; write its values in one: key=a,b")
    swept = [_values(p) for p in parsed if _is_swept(p)]
    fixed = [p.text for p in parsed if not _is_swept(p)]
    given = [p for p in parsed if not _is_swept(p)] if composer else []
    composer = composer or Composer(fixed, config_dir)
    before = [*composer.fixed, *(p.text for p in given)]
    found: list[Point] = []
    for chosen in itertools.product(*swept):
        texts = [c.text for c in chosen]
        try:
            settings = composer.settings([*given, *chosen])
        except ConfigError as error:
            raise ConfigError(_located(str(error), texts, bool(found))) from None
        found.append(Point((*before, *texts), {c.key: _shown(c) for c in chosen}, settings))
    return found


def _located(problem: str, texts: Sequence[str], is_later: bool) -> str:
    """With the combination that is wrong; what is wrong with the first is wrong with most."""
    where = " ".join(texts)
    return f"{where}: {problem}" if is_later and not problem.startswith(where) else problem


def _parsed(text: str) -> Override:
    try:
        return Override.parse(text)
    except RmlabError:
        raise
    except Exception as error:  # such as glob(*) or interval(0,1), which have no list of values
        raise ConfigError(f"cannot list the values of {text} ({error}); write them: key=a,b") from None


def is_swept(text: str) -> bool:
    """Whether an override has several values."""
    return _is_swept(_parsed(text))


def _is_swept(override: Override) -> bool:
    return override.values != (override.text,)


def _values(override: Override) -> list[Override]:
    """An override for each value of an axis, each once, with the + that may stand before its name."""
    if not override.values:
        raise ConfigError(f"{override.text} has no values; give it some: {override.key}=a,b")
    sign = override.text[: len(override.text) - len(override.text.lstrip("+~"))]
    return [_parsed(f"{sign}{override.key}={value}") for value in dict.fromkeys(override.values)]


def _shown(override: Override) -> str:
    """The value without the quotes that the command line needed."""
    return override.value if isinstance(override.value, str) else override.text.partition("=")[2]


class Composer:
    """Hydra composes each choice of a file once; choices that do not touch each other are then put together,
    and plain values set, in copies of the results."""

    def __init__(self, fixed: Sequence[str], config_dir: Path | None) -> None:
        self.fixed, self.config_dir = list(fixed), config_dir
        self._composed: dict[tuple[str, ...], tuple[dict[str, Any], set[str]]] = {}
        self._groups: dict[str, bool] = {}
        self._with: dict[tuple[str, ...], Composer] = {}

    def settings(self, chosen: Sequence[Override]) -> Settings:
        if read := self._read_elsewhere(chosen):
            return self._composer_with(read).settings([c for c in chosen if c not in read])
        texts = [*self.fixed, *(c.text for c in chosen)]
        files = tuple(c.text for c in chosen if self._needs_hydra(c, texts))
        config, referred = self._of_files(files)
        for override in chosen:
            if override.text in files:
                continue
            path = override.key.split(".")
            changed = None if referred & set(path) else _with(config, path, override.value)
            if changed is None:
                return typed(compose(texts, self.config_dir))  # Hydra knows, or says what is wrong
            config = changed
        return typed(config)

    def _read_elsewhere(self, chosen: Sequence[Override]) -> list[Override]:
        """Plain values that other settings refer to, as files of an embedding set refer to set.policy: each
        combination of these has a composer of its own, so that it is composed once."""
        try:
            referred = self._of_files(())[1]
        except ConfigError:  # what is missing is among the chosen
            return []
        texts = [*self.fixed, *(c.text for c in chosen)]
        return [c for c in chosen if referred & set(c.key.split(".")) and not self._needs_hydra(c, texts)]

    def _composer_with(self, read: Sequence[Override]) -> Composer:
        key = tuple(c.text for c in read)
        if key not in self._with:
            self._with[key] = Composer([*self.fixed, *key], self.config_dir)
        return self._with[key]

    def _of_files(self, files: tuple[str, ...]) -> tuple[dict[str, Any], set[str]]:
        """The configuration, and every name that stands in one of its references such as ${input}."""
        if files not in self._composed:
            together = self._put_together(files) if len(files) > 1 else None
            self._composed[files] = together or self._by_hydra(files)
        return self._composed[files]

    def _by_hydra(self, files: tuple[str, ...]) -> tuple[dict[str, Any], set[str]]:
        config, raw = compose_both([*self.fixed, *files], self.config_dir)
        return config, {w for text in _texts(raw) if "${" in text for w in re.findall(r"\w+", text)}

    def _put_together(self, files: tuple[str, ...]) -> tuple[dict[str, Any], set[str]] | None:
        """From each choice alone; None where one changes more than its own place, or refers to another's."""
        keys = [_parsed(text).key for text in files]
        try:
            base, referred = self._of_files(())
            alone = [self._of_files((text,)) for text in files]
        except ConfigError:  # a choice may need another one
            return None
        whole = dict(base)
        for key, (config, words) in zip(keys, alone, strict=True):
            changed = {k for k in config.keys() | base.keys() if config.get(k) != base.get(k)}
            if not changed <= {key} or key not in base or set(keys) & words:
                return None
            whole[key], referred = config[key], referred | words
        return (whole, referred) if len(set(keys)) == len(keys) else None

    def _needs_hydra(self, override: Override, texts: list[str]) -> bool:
        """Whether it is more than a plain value for a place of its own. texts: some whole combination."""
        key = override.key
        if not override.text.startswith(key) or "$" in override.text or override.value == "???":
            return True
        if key not in self._groups:
            known = None if "." in key else unresolved(texts, self.config_dir).get(key)
            choice = "." not in key and isinstance(known, dict | list | type(None))
            self._groups[key] = choice or not all(part.isidentifier() for part in key.split("."))
        return self._groups[key]


def _with(config: dict[str, Any], path: Sequence[str], value: Any) -> dict[str, Any] | None:
    """A copy with another value at the end of the path, sharing the rest; None if there is no such place."""
    name, *rest = path
    if name not in config or (isinstance(config[name], dict) is not bool(rest)):
        return None
    inner = _with(config[name], rest, value) if rest else value
    return None if rest and inner is None else {**config, name: inner}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value
