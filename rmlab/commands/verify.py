"""rmlab verify: every file of artifacts against its digest, and what is stale; --repair mends bad files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rmlab.commands.repair import Parse, command_here, repaired
from rmlab.config.hydra import load_settings
from rmlab.errors import ConfigError, InputError, RmlabError
from rmlab.logs.progress import Progress
from rmlab.paths import home_path
from rmlab.pipeline.verify import Ages, Verified, artifacts_of, is_artifact, verify
from rmlab.storage.artifact import finished
from rmlab.storage.files import plain
from rmlab.storage.set_record import RECORD

ALL = "all"


def verify_command(
    path: str, overrides: Sequence[str], repair: bool, as_json: bool, config_dir: Path | None, parse: Parse
) -> None:
    """InputError where anything is damaged or stale, and was not mended."""
    places = _places(path, overrides, config_dir)
    found = _verified(places, as_json)
    if repair:
        found = [_mended(finding, parse) if finding.state == "damaged" else finding for finding in found]
        found = _with_ages(found)
    if as_json:
        print(json.dumps({"artifacts": [_row(f) for f in found]}, indent=2, ensure_ascii=False))
    else:
        _print(found)
    _demand(found, path, repair, parse)


def _places(path: str, overrides: Sequence[str], config_dir: Path | None) -> list[Path]:
    """An artifact, by its folder or a file in it; else all artifacts of a folder."""
    if path == ALL:
        place = home_path(load_settings(overrides, config_dir).out)
    elif overrides:
        raise ConfigError(f"{overrides[0]}: settings go with `rmlab verify all` alone, such as out=...")
    else:
        place = home_path(path)
    if not place.exists():
        raise InputError(f"{place} does not exist; `rmlab status` shows where artifacts are")
    inside = next((p for p in (place.absolute(), *place.absolute().parents) if is_artifact(p)), None)
    if inside is not None and path != ALL:
        return [inside]
    if found := artifacts_of(place):
        return found
    if (place / RECORD).is_file():
        raise InputError(f"{place} is an embedding set: rmlab validate {place}")
    raise InputError(f"{place} is no artifact, and holds none; `rmlab status` shows where artifacts are")


def _verified(places: Sequence[Path], quiet: bool) -> list[Verified]:
    ages, sizes = Ages(thorough=True), [_size(place) for place in places]
    with Progress("verify", "bytes", quiet=quiet) as progress:
        progress.start(sum(sizes))
        return [verify(place, progress.advance, ages) for place in places]


def _size(place: Path) -> int:
    try:
        return sum(record.bytes for record in finished(place).files)
    except InputError:
        return 0


def _mended(finding: Verified, parse: Parse) -> Verified:
    """whole, with what was done; still damaged, with why it could not be mended."""
    try:
        done = repaired(finding, parse)
    except (RmlabError, OSError) as error:
        return replace(finding, why=str(error))
    again = verify(finding.path, lambda n: None, Ages())
    return replace(again, why=done if again.state == "whole" else again.why)


def _with_ages(found: Sequence[Verified]) -> list[Verified]:
    """A repair may have changed what others were made of."""
    ages = Ages()
    aged = []
    for finding in found:
        why = ages.outdated(finding.path) if finding.state in ("whole", "stale") else ""
        aged.append(replace(finding, state="stale", why=why) if why else finding)
    return aged


def _row(finding: Verified) -> dict[str, Any]:
    damage = [{"file": d.name, "why": d.why} for d in finding.damage]
    row = {"path": str(finding.path), "stage": finding.stage, "state": finding.state, "why": finding.why}
    return plain(row | {"damage": damage})  # type: ignore[no-any-return]


def _print(found: Sequence[Verified]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from rmlab.commands.printing import console

    table = Table("state", "stage", "artifact", "why", box=None, pad_edge=False)
    for f in found:
        table.add_row(f.state, f.stage, escape(str(f.path)), escape(f.why))
    console().print(table, soft_wrap=True)
    counts = Counter(finding.state for finding in found)
    print(", ".join(f"{n} {state}" for state, n in counts.items()))


def _demand(found: Sequence[Verified], path: str, was_mended: bool, parse: Parse) -> None:
    damaged = [f for f in found if f.state == "damaged"]
    stale = [f for f in found if f.state == "stale"]
    if damaged:
        first = f"{damaged[0].path}: {damaged[0].why}"
        is_told = was_mended or "rmlab verify" in first
        how = "" if is_told else f"; mend: rmlab verify --repair {path}"
        raise InputError(f"{len(damaged)} damaged, the first {first}{how}")
    if stale:
        again = "give the command that made it again"
        if made := stale[0].manifest:
            again = f"again: {command_here(stale[0].path, made, parse)}"
        raise InputError(
            f"{len(stale)} stale, the first {stale[0].path}: {stale[0].why}; {again}; or remove it, "
            "if nothing asks for it any more"
        )
