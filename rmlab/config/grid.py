"""A grid over settings: `head=linear,mlp seed=0,1,2` becomes one list of overrides for each combination."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmlab.config.composed import Composed, composed_of, in_this_order, references, with_value
from rmlab.config.hydra import Override, compose, last_wins, typed, unresolved
from rmlab.config.settings import Settings
from rmlab.errors import ConfigError, RmlabError


@dataclass(frozen=True)
class GridPoint:
    """One combination of a grid; axes: its value on each axis, as typed on the command line."""

    overrides: tuple[str, ...]
    axes: dict[str, str]
    settings: Settings


def points(
    overrides: Sequence[str], config_dir: Path | None = None, composer: Composer | None = None
) -> list[GridPoint]:
    """All combinations, the last axis varying fastest. Commas separate values, as in Hydra's multirun.

    composer: one that other grids have used, whose results are used again; its overrides come before these.
    """
    parsed = [Override.parse(text) for text in overrides]
    keys = Counter(p.key for p in parsed)
    repeated = {p.key for p in parsed if _is_swept(p) and keys[p.key] > 1}
    if repeated:  # a plain override may be repeated: the last one counts, as in every command
        raise ConfigError(f"'{min(repeated)}' is given twice; write its values in one: key=a,b")
    swept = [_values(p) for p in parsed if _is_swept(p)]
    fixed = [p.text for p in parsed if not _is_swept(p)]
    given = [p for p in parsed if not _is_swept(p)] if composer else []
    composer = composer or Composer(fixed, config_dir)
    before = [*composer.fixed, *(p.text for p in given)]
    found: list[GridPoint] = []
    for chosen in itertools.product(*swept):
        texts = [c.text for c in chosen]
        try:
            settings = composer.settings([*given, *chosen])
        except ConfigError as error:
            raise ConfigError(_located(str(error), texts, bool(found))) from None
        found.append(GridPoint((*before, *texts), {c.key: _shown(c) for c in chosen}, settings))
    return found


def is_swept(text: str) -> bool:
    """True if an override has several values, so that it is an axis of the grid."""
    return _is_swept(Override.parse(text))


def _is_swept(override: Override) -> bool:
    return override.values != (override.text,)


def _values(override: Override) -> list[Override]:
    """One override for each distinct value of an axis; a + or ~ before the axis's name is kept."""
    if not override.values:
        raise ConfigError(f"{override.text} has no values; give it some: {override.key}=a,b")
    sign = override.text[: len(override.text) - len(override.text.lstrip("+~"))]
    return [Override.parse(f"{sign}{override.key}={value}") for value in dict.fromkeys(override.values)]


def _shown(override: Override) -> str:
    """The override's value, without the quotes that the command line needed."""
    return override.value if isinstance(override.value, str) else override.text.partition("=")[2]


def _located(problem: str, texts: Sequence[str], is_later: bool) -> str:
    """The problem with its combination before it, unless it is the first: its problem is probably that of
    all."""
    where = " ".join(texts)
    return f"{where}: {problem}" if is_later and not problem.startswith(where) else problem


class Composer:
    """Composes the settings of many combinations with few calls of Hydra, which takes most of the time.

    Hydra composes each choice of a file, such as head=mlp, once. Choices that do not affect each other are
    then combined, and plain values set, in copies of those results. `parent` is a composer with fewer fixed
    values, whose results are used here where the further fixed values do not affect them.
    """

    def __init__(self, fixed: Sequence[str], config_dir: Path | None, parent: Composer | None = None) -> None:
        self.fixed, self.config_dir, self._parent = list(fixed), config_dir, parent
        self._composed: dict[tuple[str, ...], Composed] = {}
        self._groups: dict[str, bool] = parent._groups if parent else {}
        self._with: dict[tuple[str, ...], Composer] = {}

    def settings(self, chosen: Sequence[Override]) -> Settings:
        """The settings of the fixed overrides, then the chosen ones."""
        texts = [*self.fixed, *(c.text for c in chosen)]
        if any(in_this_order(a, b) for a, b in itertools.combinations(chosen, 2)):
            return typed(compose(texts, self.config_dir))
        if read := self._read_elsewhere(chosen):
            return self._composer_with(read).settings([c for c in chosen if c not in read])
        files = tuple(c.text for c in chosen if self._needs_hydra(c, texts))
        composed = self._of_files(files)
        config = composed.values
        for override in chosen:
            if override.text in files:
                continue
            path = override.key.split(".")
            changed = None if composed.referred & set(path) else with_value(config, path, override.value)
            if changed is None:
                return typed(compose(texts, self.config_dir))  # Hydra resolves it, or says what is wrong
            config = changed
        return typed(config)

    def settings_before(self, texts: Sequence[str]) -> Settings:
        """The settings of these overrides, then the fixed ones, which replace those of the same name.

        What cannot be put together for certain, and what is wrong, is composed anew by Hydra.
        """
        try:
            chosen = self._left_of(texts)
            if chosen is not None:
                return self.settings(chosen)
        except RmlabError:  # Hydra says what is wrong with the whole
            pass
        return typed(compose([*texts, *self.fixed], self.config_dir))

    def _left_of(self, texts: Sequence[str]) -> list[Override] | None:
        """Returns what the fixed overrides leave of others before them; None if the order decides."""
        if any(is_swept(text) for text in texts):
            return None
        fixed = last_wins(self.fixed)
        left = [Override.parse(text) for text in last_wins([*texts, *fixed])[: -len(fixed) or None]]
        given = [Override.parse(text) for text in fixed]
        return None if any(in_this_order(one, other) for one in left for other in given) else left

    def _read_elsewhere(self, chosen: Sequence[Override]) -> list[Override]:
        """The chosen plain values that other settings refer to, as file names refer to set.policy.

        Each combination of such values gets its own composer, so that it is composed once.
        """
        try:
            referred = self._of_files(()).referred
        except ConfigError:  # a mandatory value is among the chosen, so it is missing without them
            return []
        texts = [*self.fixed, *(c.text for c in chosen)]
        return [c for c in chosen if referred & set(c.key.split(".")) and not self._needs_hydra(c, texts)]

    def _composer_with(self, read: Sequence[Override]) -> Composer:
        key = tuple(c.text for c in read)
        if key not in self._with:
            self._with[key] = Composer([*self.fixed, *key], self.config_dir, self)
        return self._with[key]

    def _of_files(self, files: tuple[str, ...]) -> Composed:
        if files not in self._composed:
            found = None
            if len(files) > 1:
                found = self._put_together(files)
            elif files and self._parent:
                found = self._of_parent(files[0], self._parent)
            self._composed[files] = found or composed_of([*self.fixed, *files], self.config_dir)
        return self._composed[files]

    def _of_parent(self, text: str, parent: Composer) -> Composed | None:
        """This composer's configuration with the section of one choice as the parent composed it.

        None if the section refers to other settings, or if the choice or the further fixed values affect more
        than their own sections.
        """
        key = Override.parse(text).key
        set_here = {Override.parse(t).key.split(".")[0] for t in self.fixed[len(parent.fixed) :]}
        try:
            base, own, choice = parent._of_files(()), self._of_files(()), parent._of_files((text,))
        except ConfigError:  # a mandatory value is among this composer's own fixed values
            return None
        alone = choice.changed_from(base) <= {key} and key not in choice.referred
        untouched = key not in set_here and key not in own.changed_from(base)
        if not (alone and untouched and _are_in(key, base, choice)) or any(references(choice.raw[key])):
            return None
        return own.with_section(key, choice)

    def _put_together(self, files: tuple[str, ...]) -> Composed | None:
        """Combines choices that were composed one by one; None if one changes or refers to another's
        section."""
        keys = [Override.parse(text).key for text in files]
        try:
            base = whole = self._of_files(())
            alone = [self._of_files((text,)) for text in files]
        except ConfigError:  # one choice may need another, such as a mandatory value
            return None
        for key, choice in zip(keys, alone, strict=True):
            elsewhere = not choice.changed_from(base) <= {key} or not _are_in(key, base, choice)
            if elsewhere or set(keys) & choice.referred:
                return None
            whole = whole.with_section(key, choice)
        return whole if len(set(keys)) == len(keys) else None

    def _without_files(self, texts: list[str]) -> dict[str, Any]:
        """The configuration of the fixed overrides, or of all where those alone lack a mandatory value."""
        try:
            return self._of_files(()).raw
        except ConfigError:
            return unresolved(texts, self.config_dir)

    def _needs_hydra(self, override: Override, texts: list[str]) -> bool:
        """True unless the override sets one plain value. texts: the overrides of any full combination."""
        key = override.key
        if not override.text.startswith(key) or "$" in override.text or "???" in override.text:
            return True
        if key not in self._groups:
            known = None if "." in key else self._without_files(texts).get(key)
            choice = "." not in key and isinstance(known, dict | list | type(None))
            self._groups[key] = choice or not all(part.isidentifier() for part in key.split("."))
        return self._groups[key]


def _are_in(key: str, *configurations: Composed) -> bool:
    """True if all have the section; ~key takes it away."""
    return all(key in composed.values for composed in configurations)
