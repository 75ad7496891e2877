"""Configurations that Hydra composed, kept for the next command in this process that makes the same choices.

Hydra takes a tenth of a second for a composition, most of it for choices of files, such as head=mlp. Plain
values, such as seed=3, are set in a copy.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

from rmlab.config.hydra import Override, compose_both, last_wins
from rmlab.config.settings import ALLOW_ENV
from rmlab.errors import RmlabError
from rmlab.paths import shipped

_MOST = 256  # compositions that are kept
_kept: OrderedDict[Any, Composed | None] = OrderedDict()  # None: it must be composed anew each time


def composed_of(texts: Sequence[str], config_dir: Path | None) -> Composed:
    """The configuration of these overrides, as Hydra composes it."""
    given = [Override.parse(text) for text in last_wins(texts)]
    if not any(in_this_order(one, other) for one, other in combinations(given, 2)):
        choices = [o for o in given if not _is_plain(o, config_dir)]
        values = [o for o in given if o not in choices]
        found = _with_values(_of_choices([o.text for o in choices], config_dir), values)
        if found is not None:
            return found
    return Composed(*compose_both(texts, config_dir))


def _with_values(base: Composed | None, values: Sequence[Override]) -> Composed | None:
    """The configuration with other values; None where Hydra must say what becomes of them."""
    for override in values:
        path = override.key.split(".")
        if base is None or base.referred & set(path):
            return None
        changed = with_value(base.values, path, override.value), with_value(base.raw, path, override.value)
        base = None if changed[0] is None or changed[1] is None else Composed(changed[0], changed[1])
    return base


def _is_plain(override: Override, config_dir: Path | None) -> bool:
    """True unless the override chooses a file, refers to something, or adds or removes a setting."""
    key, text = override.key, override.text
    is_name = text.startswith(key) and all(part.isidentifier() for part in key.split("."))
    chooses = key in {*_folders(shipped("conf")), *_folders(config_dir)}
    is_one = override.values == (text,)
    return is_one and is_name and not chooses and key != ALLOW_ENV and "$" not in text and "???" not in text


def _of_choices(choices: Sequence[str], config_dir: Path | None) -> Composed | None:
    """The configuration of choices alone; None where they need a value, or may give another one each time."""
    if any(text.startswith("+") or text.partition("=")[0] == ALLOW_ENV for text in choices):
        return None  # the environment may change; and + may name a folder that is not looked at
    key = (tuple(choices), config_dir, _files(shipped("conf")), _files(config_dir))
    if key not in _kept:
        _kept[key] = _composed_alone(choices, config_dir)
        if len(_kept) > _MOST:
            _kept.popitem(last=False)
    _kept.move_to_end(key)
    return _kept[key]


def _composed_alone(choices: Sequence[str], config_dir: Path | None) -> Composed | None:
    try:
        found = Composed(*compose_both(choices, config_dir))
    except RmlabError:  # the values may mend what is wrong, such as the input that a file names
        return None
    # what such a reference gives may be another the next time, as that to the files of a set
    hangs_on_more = any(re.search(r"\$\{\s*[\w.]+\s*:", text) for text in references(found.raw))
    return None if hangs_on_more else found


def _folders(folder: Path | None) -> list[str]:
    """The names of the folders in a folder of settings, each of which is a group of choices."""
    if folder is None or not folder.is_dir():
        return []
    return [place.name for place in folder.iterdir() if place.is_dir()]


def _files(folder: Path | None) -> tuple[tuple[str, int, int], ...]:
    """The names, sizes and times of the files of settings in a folder, which may hold much else."""
    found: list[tuple[str, int, int]] = []
    for file in (
        []
        if folder is None
        else sorted(file for pattern in ("*.yaml", "*/*.yaml") for file in folder.absolute().glob(pattern))
    ):
        with suppress(OSError):  # such as a link that leads nowhere, which Hydra reports if it needs it
            seen = file.stat()
            found.append((str(file), seen.st_size, seen.st_mtime_ns))
    return tuple(found)


def in_this_order(one: Override, other: Override) -> bool:
    """True if one sets what the other sets, or a part of it, so that the last counts.

    A choice of files, such as head=mlp, comes before all values within it, wherever it is given.
    """
    outer, inner = sorted((one, other), key=lambda override: len(override.key))
    is_choice = "." not in outer.key and isinstance(outer.value, str)
    return inner.key == outer.key or (inner.key.startswith(f"{outer.key}.") and not is_choice)


@dataclass(frozen=True)
class Composed:
    """A configuration twice: `values` with references such as ${input} resolved, `raw` with them as
    written."""

    values: dict[str, Any]
    raw: dict[str, Any]

    @cached_property
    def referred(self) -> set[str]:
        """Every name that occurs in a reference."""
        return {w for text in references(self.raw) for w in re.findall(r"\w+", text)}

    def changed_from(self, base: Composed) -> set[str]:
        """The names of the top-level sections that differ, in values or in references."""
        pairs = ((self.values, base.values), (self.raw, base.raw))
        return {k for a, b in pairs for k in a.keys() | b.keys() if k not in a or k not in b or a[k] != b[k]}

    def with_section(self, key: str, other: Composed) -> Composed:
        return Composed({**self.values, key: other.values[key]}, {**self.raw, key: other.raw[key]})


def with_value(config: dict[str, Any], path: Sequence[str], value: Any) -> dict[str, Any] | None:
    """A copy with another value at the path, sharing all else; None if the path does not exist, or where the
    value is a section itself, which Hydra merges."""
    name, *rest = path
    if isinstance(value, dict) or name not in config or (isinstance(config[name], dict) is not bool(rest)):
        return None
    inner = with_value(config[name], rest, value) if rest else value
    return None if rest and inner is None else {**config, name: inner}


def references(value: Any) -> Iterator[str]:
    """Yields every text within a value that holds a reference."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from references(item)
    elif isinstance(value, str) and "${" in value:
        yield value
