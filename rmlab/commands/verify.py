"""rmlab verify: every file of artifacts against its digest, and what is stale; --repair drops bad parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rmlab.config.hydra import load_settings
from rmlab.config.quoting import override
from rmlab.errors import ConfigError, InputError, RmlabError
from rmlab.logs.progress import Progress
from rmlab.logs.records import shell_line
from rmlab.paths import home_path
from rmlab.pipeline.state import Ages
from rmlab.pipeline.verify import Sources, Verified, artifacts_of, is_artifact, lost_input, verify
from rmlab.removal import set_aside
from rmlab.storage.files import plain, write_text
from rmlab.storage.manifest import COPY, MANIFEST, Manifest, read_manifest
from rmlab.storage.set_record import RECORD
from rmlab.storage.writer import writing
from rmlab.terminal import say, say_json, say_table

ALL = "all"


def verify_command(
    path: str, overrides: Sequence[str], repair: bool, as_json: bool, config_dir: Path | None
) -> None:
    """InputError where anything is damaged, unreadable or stale, and was not repaired."""
    places = _places(path, overrides, config_dir)
    ages = Ages(Sources(thorough=True).has_changed)
    found = _verified(places, ages, as_json)
    if repair:
        found = [_repaired(f, ages) if f.state == "damaged" or f.damage else f for f in found]
    if as_json:
        say_json({"artifacts": [_row(f) for f in found]})
    else:
        _print(found)
    _demand(found, path, repair)


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


def _verified(places: Sequence[Path], ages: Ages, quiet: bool) -> list[Verified]:
    sizes = [_size(place) for place in places]
    with Progress("verify", "bytes", quiet=quiet) as progress:
        progress.start(sum(sizes))
        return [verify(place, progress.advance, ages) for place in places]


def _size(place: Path) -> int:
    """Bytes of an artifact's files, which are about to be read; 0 if the system withholds one of them."""
    files = (file for file in place.rglob("*") if file.name not in (MANIFEST, COPY))
    try:
        return sum(file.stat().st_size for file in files if file.is_file())
    except OSError:
        return 0


def _repaired(finding: Verified, ages: Ages) -> Verified:
    """The finding after the repair; still damaged where it could not be repaired, with the reason."""
    try:
        return _repair(finding, ages)
    except (RmlabError, OSError) as error:
        return replace(finding, state="damaged", why=str(error))


def _repair(finding: Verified, ages: Ages) -> Verified:
    """Restores a manifest or its copy from the other; what is bad besides is left to the next run.

    Nothing is taken away of an artifact that is stale, too: what would be made of its sources now is another.
    """
    path, manifest = finding.path, finding.manifest
    if manifest is None:
        return _without_manifest(finding, ages)
    bad = {damage.name for damage in finding.damage} - {COPY}
    if not bad:
        _copy(path, MANIFEST, COPY)
        return _again(path, "the copy of its manifest was written again", ages)
    if why := ages.outdated(path):
        again = command_here(path, manifest)
        return replace(
            finding, why=f"{finding.why}; it is stale, too, and left as it is: {why}; again: {again}"
        )
    if lost := lost_input(path, manifest):
        return replace(
            finding, why=f"{finding.why}; it is left as it is: {lost}; bring that back, then repair it"
        )
    with writing(path) as writer:
        writer.reopen(manifest, bad)
    what = "the next run makes these again" if manifest.is_in_parts else "the next run makes it again, whole"
    done = f"{len(bad)} of {len(manifest.files)} files were bad; {what}"
    return Verified(path, "unfinished", done, manifest=manifest, again=command_here(path, manifest))


def _without_manifest(finding: Verified, ages: Ages) -> Verified:
    path = finding.path
    try:
        read_manifest(path, COPY)
    except InputError:
        with writing(path) as writer:
            writer.reopen(None, ())
        done = "its manifest is lost; the command that made it makes it again, whole"
        return Verified(path, "unfinished", done)
    _copy(path, COPY, MANIFEST)
    again = _again(path, "its manifest was restored from the copy beside it", ages)
    return _repair(again, ages) if again.state == "damaged" else again


def _again(path: Path, done: str, ages: Ages) -> Verified:
    """Looks at the artifact anew, and at what it was made of."""
    found = verify(path, lambda n: None, Ages(ages.has_changed))
    return replace(found, why=done) if found.state == "whole" else found


def _copy(path: Path, source: str, name: str) -> None:
    """Not while another process writes the artifact: an old manifest would make half of it look whole."""
    with writing(path):
        if (path / name).is_dir():
            set_aside(path / name)
        write_text(path / name, (path / source).read_text(encoding="utf-8"))


def command_here(path: Path, manifest: Manifest) -> str:
    """The command that makes an artifact again, from any folder, also where the artifact was moved since."""
    command, folder = manifest.command, Path(manifest.folder)
    if manifest.place and Path(manifest.place) != path.absolute():
        place = override("out", str(path.absolute().parent.parent))
        command += f" {shell_line([place])}"
    if manifest.folder and folder.is_dir() and folder != Path.cwd():
        command = f"cd {shell_line([str(folder)])} && {command}"
    return command


def _row(finding: Verified) -> dict[str, Any]:
    damage = [{"file": d.name, "why": d.why} for d in finding.damage]
    row = {"path": str(finding.path), "stage": finding.stage, "state": finding.state, "why": finding.why}
    again = {"again": finding.again} if finding.again else {}
    return plain(row | {"damage": damage} | again)  # type: ignore[no-any-return]


def _print(found: Sequence[Verified]) -> None:
    rows = [(f.state, f.stage, str(f.path), f.why) for f in found]
    say_table(("state", "stage", "artifact", "why"), rows)
    counts = Counter(finding.state for finding in found)
    say(", ".join(f"{n} {state}" for state, n in counts.items()))
    for command in dict.fromkeys(finding.again for finding in found if finding.again):
        say(f"go on: {command}")


def _demand(found: Sequence[Verified], path: str, was_repaired: bool) -> None:
    damaged = [f for f in found if f.state == "damaged"]
    unreadable = [f for f in found if f.state == "unreadable"]
    stale = [f for f in found if f.state == "stale"]
    if damaged:
        first = f"{damaged[0].path}: {damaged[0].why}"
        is_told = was_repaired or "rmlab verify" in first
        how = "" if is_told else f"; mend: rmlab verify --repair {path}"
        raise InputError(f"{len(damaged)} damaged, the first {first}{how}")
    if unreadable:
        raise InputError(f"{len(unreadable)} unreadable, the first {unreadable[0].why}")
    if stale:
        made = stale[0].manifest
        again = (
            f"again: {command_here(stale[0].path, made)}" if made else "give the command that made it again"
        )
        raise InputError(
            f"{len(stale)} stale, the first {stale[0].path}: {stale[0].why}; {again}; or, "
            "if nothing asks for it any more: rmlab clean --stale"
        )
