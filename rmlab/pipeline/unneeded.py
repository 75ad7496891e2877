"""Artifacts of a folder that may be removed: stale, unfinished, read by no result, or old."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal

from rmlab.errors import InputError
from rmlab.logs import log
from rmlab.logs.records import is_in_use, logs_in
from rmlab.paths import cache_folder
from rmlab.pipeline.stages import BY_NAME
from rmlab.pipeline.state import Ages
from rmlab.pipeline.verify import Sources, artifacts_of
from rmlab.storage.artifact import Unreadable, finished, is_unfinished, readable, upstream
from rmlab.storage.integrity import kept_digests
from rmlab.storage.manifest import Manifest
from rmlab.storage.owned import foreign, own_files, was_begun
from rmlab.storage.replacement import artifact_of, is_written, replacement_of

Kind = Literal["artifact", "log", "cache"]
Rule = Literal["stale", "unfinished", "orphaned", "unreadable", "old", "cache", "logs"]
_DAY = 86_400.0


@dataclass(frozen=True)
class Unneeded:
    """Something that may be removed. rules: those that it falls under; why: in words.

    days: since it was last written. kept: why it must not be removed; empty if it may be.
    """

    kind: Kind
    path: Path
    rules: tuple[Rule, ...]
    why: str
    bytes: int
    days: float
    kept: str = ""


def unneeded_artifacts(out: Path, older: float | None) -> list[Unneeded]:
    """All artifacts of a folder, what is read before what reads it; those without rules are needed.

    older: the days after which an artifact is old, if everything that was made of it is old as well.
    """
    return _Folder.look(out, older).items()


@dataclass(frozen=True)
class _Folder:
    """places: artifacts, and replacements that were begun; made: the manifests of the finished ones.

    withheld: why the others cannot be read; they may be made of any other.
    """

    places: list[Path]
    made: Mapping[Path, Manifest]
    older: float | None
    withheld: Mapping[Path, str]
    ages: Ages = field(default_factory=lambda: Ages(Sources().has_changed))

    @classmethod
    def look(cls, out: Path, older: float | None) -> _Folder:
        finished_or_begun = artifacts_of(Path(os.path.normpath(out.absolute())))  # as inputs are named
        made, beside, withheld = {}, [], {}
        for place in finished_or_begun:
            try:
                with readable(place):
                    replacement = replacement_of(place)
                    if replacement.is_dir() and not replacement.is_symlink():
                        beside.append(replacement)
                    with suppress(FileNotFoundError):  # a process has just removed it
                        os.scandir(place).close()
                    made[place] = finished(place)
            except Unreadable as error:
                withheld[place] = str(error)
            except InputError:  # unfinished or damaged
                continue
        return cls([*finished_or_begun, *beside], made, older, withheld)

    def items(self) -> list[Unneeded]:
        days = {place: _days_since(place) for place in self.places}
        results = [place for place in self.made if BY_NAME[place.parent.name].is_result]
        recent = [p for p in self.made if self.older is None or days[p] < self.older]
        wanted, young = (
            set(self.made) if self.withheld else self._with_inputs(some) for some in (results, recent)
        )
        writing = [place for place in self.places if is_written(artifact_of(place))]
        return [self._item(place, days[place], wanted, young, writing) for place in self.places]

    def _item(
        self, place: Path, days: float, wanted: set[Path], young: set[Path], writing: list[Path]
    ) -> Unneeded:
        rules: dict[Rule, str] = {}
        if place in self.withheld:
            kept = self.withheld[place]
            return Unneeded("artifact", place, ("unreadable",), "", _size(place), days, kept)
        try:
            with readable(place):
                if is_unfinished(place):
                    rules["unfinished"] = "a replacement" if artifact_of(place) != place else "begun"
                elif why := self.ages.outdated(place):
                    rules["stale"] = why
                kept = _kept(place, writing, "stale" in rules)
        except InputError as error:
            kept = str(error)
        if place in self.made and place not in wanted:
            rules["orphaned"] = "no result was made of it"
        if self.older is not None and days >= self.older and place not in young:
            rules["old"] = f"{days:,.0f} days old"
        return Unneeded("artifact", place, tuple(rules), "; ".join(rules.values()), _size(place), days, kept)

    def _with_inputs(self, places: Iterable[Path]) -> set[Path]:
        """The artifacts, and all that they were made of, directly or through others."""
        found: set[Path] = set()
        left = list(places)
        while left:
            place = left.pop()
            if place in self.made and place not in found:
                found.add(place)
                inputs = (r for r in self.made[place].inputs if r.kind == "artifact")
                left += [upstream(place, record) for record in inputs]
        return found


def _kept(place: Path, writing: list[Path], is_stale: bool) -> str:
    """Why an artifact must stay; a process that makes one reads others, which have no lock for that."""
    if place in writing:
        return "another rmlab process is writing it"
    if place.is_symlink():
        return "it is a link"
    if not was_begun(place) and not own_files(place) and foreign(place):
        return "no record of rmlab says that it made it"
    if writing and not is_stale and not is_unfinished(place):
        return f"another rmlab process is writing {writing[0].parent.name}/{writing[0].name}, and may read it"
    return ""


def _seen(place: Path) -> Iterator[os.stat_result]:
    """Yields what the system tells of a file, or of a folder and the files in it, where it tells."""
    below = (Path(folder) / name for folder, _, files in os.walk(place) for name in files)
    for path in chain([place], below):
        with suppress(OSError):
            yield path.lstat()


def _days_since(place: Path) -> float:
    """Days since a file, or anything in a folder, was last written."""
    now = time.time()
    return max(0.0, now - max((seen.st_mtime for seen in _seen(place)), default=now)) / _DAY


def _size(place: Path) -> int:
    return sum(seen.st_size for seen in _seen(place) if not stat.S_ISDIR(seen.st_mode))


def unneeded_logs(out: Path) -> list[Unneeded]:
    """The logs of commands that have ended, in a folder of artifacts and in the cache."""
    folders = [out / log.FOLDER, cache_folder(log.FOLDER)]
    found = [file for folder in folders for file in logs_in(folder)]
    return [
        _item("log", file, "logs", "", "its command may run" if is_in_use(file) else "") for file in found
    ]


def unneeded_cache() -> list[Unneeded]:
    """Models that were converted, and digests of large files: both are made again where they are wanted."""
    models = [p for p in sorted(cache_folder("models").glob("[!.]*")) if p.is_dir()]
    found = [
        _item("cache", p, "cache", "a converted model", "" if own_files(p) else "no record says what it is")
        for p in models
    ]
    if digests := kept_digests():
        found.append(_item("cache", digests[0].parent, "cache", f"digests of {len(digests)} large files"))
    return found


def _item(kind: Kind, place: Path, rule: Rule, why: str, kept: str = "") -> Unneeded:
    kept = "it is a link" if place.is_symlink() else kept
    return Unneeded(kind, place, (rule,), why, _size(place), _days_since(place), kept)
