"""Limits on settings: YAML that grows without end, numbers that cannot be stored and broken text are
refused."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from rmlab.errors import ConfigError

_LARGEST_FILE = 2**20  # bytes
_MOST_VALUES = 100_000  # in one file, counting every alias as a copy of what it names
_DEEPEST = 50  # levels of nesting
_LARGEST_NUMBER = 2**64
_LONGEST_TEXT = 10**6
_SURROGATE = re.compile("[\ud800-\udfff]")


def check_yaml_files(folder: Path, groups: Collection[str]) -> None:
    """Checks every YAML file that Hydra could read: those in the folder itself and in the folders of groups.

    Hidden files and folders are left out, as Hydra does not read them.
    """
    files = [*folder.glob("*.yaml"), *(f for group in groups for f in (folder / group).rglob("*.yaml"))]
    for file in sorted(files):
        if any(part.startswith(".") for part in file.relative_to(folder).parts) or file.is_dir():
            continue
        if not file.is_file():
            raise ConfigError(f"{file} is no plain file; take it out of the folder")
        seen = file.stat()
        _check_yaml(file, seen.st_size, seen.st_mtime_ns)


@lru_cache(maxsize=1024)
def _check_yaml(file: Path, size: int, changed: int) -> None:
    if size > _LARGEST_FILE:
        raise ConfigError(f"{file} has {size:,} bytes; a settings file may have at most {_LARGEST_FILE:,}")
    try:
        _check_growth(file)
    except (yaml.YAMLError, ValueError, OSError):
        return  # an unreadable file is an error only if Hydra needs it; it may be an editor's backup


def _check_growth(file: Path) -> None:
    """Counts the values, every alias as a copy of what it names, and stops at the first that is too many."""
    known: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = [(None, 0)]  # anchor, values so far
    for event in yaml.parse(file.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        added = 0
        if isinstance(event, yaml.AliasEvent):
            added = known.get(event.anchor, 1)
        elif isinstance(event, yaml.ScalarEvent):
            added = known[event.anchor or ""] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, 1))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, added = open_nodes.pop()
            known[anchor or ""] = added
        above, n = open_nodes.pop()
        open_nodes.append((above, n + added))
        if n + added > _MOST_VALUES or len(open_nodes) > _DEEPEST:
            raise ConfigError(
                f"{file} holds more than {_MOST_VALUES:,} values, counting aliases as copies, or more than "
                f"{_DEEPEST} levels; write it with fewer"
            )


def check_values(value: Any, where: str = "", depth: int = 0) -> None:
    """Raises a ConfigError that names the first setting whose value cannot be stored."""
    problem = _problem(value, depth)
    if problem:
        raise ConfigError(f"{where or 'the settings'}: {problem}")
    if isinstance(value, dict):
        for key, inner in value.items():
            check_values(key, f"{where}: a key", depth + 1)
            check_values(inner, f"{where}.{key}".strip("."), depth + 1)
    elif isinstance(value, list):
        for inner in value:
            check_values(inner, where, depth + 1)


def _problem(value: Any, depth: int) -> str:
    if depth > _DEEPEST:
        return f"nested more than {_DEEPEST} levels deep"
    if isinstance(value, int) and abs(value) > _LARGEST_NUMBER:
        return "a number of more than 64 bits"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is no finite number"
    if isinstance(value, str):
        if len(value) > _LONGEST_TEXT or "\0" in value:
            return f"text of more than {_LONGEST_TEXT:,} characters, or with a null character"
        if _SURROGATE.search(value):
            return "a lone surrogate, which is not text"
    return ""
