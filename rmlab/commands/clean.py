"""rmlab clean: what need not be kept, with sizes; --remove removes what is named, or falls under a rule."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rmlab.config.hydra import load_settings
from rmlab.errors import ConfigError, InputError, RmlabError
from rmlab.logs.records import shell_line
from rmlab.paths import home_path
from rmlab.pipeline.unneeded import Rule, Unneeded, unneeded_artifacts, unneeded_cache, unneeded_logs
from rmlab.removal import remove_file, remove_listed, some
from rmlab.storage.files import plain
from rmlab.storage.integrity import kept_digests
from rmlab.storage.locks import locked
from rmlab.storage.owned import own_files
from rmlab.storage.replacement import artifact_of
from rmlab.storage.writer import writing
from rmlab.terminal import say, say_json, say_table, size_text

_SHORTEST = 6  # letters of a fingerprint


@dataclass(frozen=True)
class CleanOptions:
    """rules: those that choose; older_than: such as 30d, and nothing younger is chosen."""

    rules: tuple[Rule, ...]
    older_than: str | None
    remove: bool

    @property
    def days(self) -> float | None:
        if self.older_than is None:
            return None
        if not (named := re.fullmatch(r"(\d{1,5})([hdw])", self.older_than)):
            raise ConfigError(
                f"--older-than {self.older_than}: give hours, days or weeks, such as 12h, 30d or 8w"
            )
        return int(named[1]) * {"h": 1 / 24, "d": 1, "w": 7}[named[2]]


def clean_command(
    words: Sequence[str], options: CleanOptions, as_json: bool, config_dir: Path | None
) -> None:
    names = [word for word in words if "=" not in word or home_path(word).exists()]
    out = home_path(load_settings([word for word in words if word not in names], config_dir).out)
    days = options.days
    if options.remove and not (names or options.rules or days is not None):
        raise ConfigError(
            "--remove needs the name of an artifact or a rule, such as --stale; see rmlab clean --help"
        )
    if names and (options.rules or days is not None):
        raise ConfigError("give the names of what to remove, or rules that choose it, not both")
    every = [*unneeded_artifacts(out, days), *unneeded_logs(out), *unneeded_cache()]
    found = _named(every, names, out) if names else _by_rule(every, options.rules, days)
    if options.remove:
        found = [_removed(item) for item in reversed(found)]  # what reads others goes before them
    _show(found, options, as_json)
    if not as_json and not options.remove and any(not item.kept for item in found):
        say(f"remove: {_command(words, options, found, config_dir)}")
    if failed := [item for item in found if item.kept and (names or item.kept.startswith(_FAILED))]:
        first = f"{failed[0].path}: {failed[0].kept.removeprefix(_FAILED)}"
        raise RmlabError(f"{len(failed)} of {len(found)} are kept, the first {first}")


def _by_rule(every: Sequence[Unneeded], rules: Sequence[Rule], days: float | None) -> list[Unneeded]:
    """Without rules all that falls under any; with a number of days and no rule, artifacts that are old."""
    if not rules:
        return [item for item in every if ("old" in item.rules if days is not None else item.rules)]
    least = -math.inf if days is None else days
    return [item for item in every if set(rules) & set(item.rules) and item.days >= least]


def _named(every: Sequence[Unneeded], names: Sequence[str], out: Path) -> list[Unneeded]:
    chosen: dict[Path, Unneeded] = {}
    for name in names:
        fitting = [item for item in every if _fits(item, name)]
        if not fitting:
            raise InputError(
                f"{name[:200]} is no artifact, log or model in {out} or the cache; see rmlab status"
            )
        if len(fitting) > 1:
            places = some([f"{item.path.parent.name}/{item.path.name}" for item in fitting])
            raise ConfigError(f"{name} may be {places}; give one of them")
        chosen[fitting[0].path] = fitting[0]
    return [item for item in every if item.path in chosen]


def _fits(item: Unneeded, name: str) -> bool:
    """By its path, its folder with or without the stage's, its name in the same way, or the beginning of its
    fingerprint."""
    path = item.path
    if os.path.normpath(home_path(name).absolute()) == os.path.normpath(path.absolute()):
        return True
    known = {path.name}
    if item.kind == "artifact":
        called, _, fingerprint = path.name.rpartition("-")
        known |= {called, f"{path.parent.name}/{path.name}", f"{path.parent.name}/{called}"}
        known |= {name} if len(name) >= _SHORTEST and fingerprint.startswith(name) else set()
    return name in known


_FAILED = "it could not be removed: "


def _removed(item: Unneeded) -> Unneeded:
    """The item after its removal; what could not be removed says why it is kept."""
    if item.kept:
        return item
    try:
        left = _REMOVERS[item.kind](item.path)
    except (RmlabError, OSError) as error:
        return replace(item, kept=f"{_FAILED}{error}")
    return replace(item, why=f"files that are not rmlab's stay: {some(left)}") if left else item


def _remove_artifact(folder: Path) -> list[str]:
    """The artifact, or what was begun to replace it, while no other process writes either."""
    with writing(artifact_of(folder)) as writer:
        writer.path = folder
        return writer.remove()


def _remove_log(file: Path) -> list[str]:
    remove_file(file)
    return []


def _remove_cached(place: Path) -> list[str]:
    """A model, while nobody makes one, or the digests."""
    names = own_files(place)
    if not names:
        remove_listed(place, [file.name for file in kept_digests()])
        return []

    def busy() -> None:
        raise RmlabError("another rmlab process makes a model there; wait for it")

    with locked(place.parent, busy):
        remove_listed(place, names)
    return [entry.name for entry in sorted(place.iterdir())] if place.is_dir() else []


_REMOVERS: dict[str, Callable[[Path], list[str]]] = {
    "artifact": _remove_artifact,
    "log": _remove_log,
    "cache": _remove_cached,
}


def _show(found: Sequence[Unneeded], options: CleanOptions, as_json: bool) -> None:
    going = [item for item in found if not item.kept]
    total = sum(item.bytes for item in going)
    if as_json:
        rows = [asdict(item) | {"path": str(item.path)} for item in found]
        say_json(plain({"removed": options.remove, "bytes": total, "items": rows}))
        return
    if found:
        _print(found)
    done = "removed" if options.remove else "may be removed"
    say(f"{len(going)} of {len(found)}, {size_text(total)}, {done}" if found else "nothing to remove")


def _command(
    words: Sequence[str], options: CleanOptions, found: Sequence[Unneeded], config_dir: Path | None
) -> str:
    """The command that removes what this one shows."""
    rules = options.rules
    if not rules and options.older_than is None and all("=" in word for word in words):
        rules = tuple(dict.fromkeys(rule for item in found if not item.kept for rule in item.rules))
    older = ["--older-than", options.older_than] if options.older_than else []
    folder = ["--config-dir", str(config_dir)] if config_dir else []
    return shell_line(
        ["rmlab", "clean", *words, *(f"--{rule}" for rule in rules), *older, *folder, "--remove"]
    )


def _print(found: Sequence[Unneeded]) -> None:
    rows = []
    for item in found:
        path, why = item.path, "; ".join(filter(None, (item.why, f"kept: {item.kept}" if item.kept else "")))
        shown = f"{path.parent.name}/{path.name}" if item.kind == "artifact" else str(path)
        rows.append(
            (", ".join(item.rules) or "needed", size_text(item.bytes), f"{item.days:,.0f}", shown, why)
        )
    say_table(("what", "size", "days", "path", "why"), rows)
