"""Hostile files through every command that reads one: taken as they are, or refused with one line."""

from __future__ import annotations

from pathlib import Path

from siege.base import SMOKE, Ground, case, judge
from siege.command import Ended
from siege.hostile_files import FILES
from siege.hostile_tables import PARQUET

_MOST = 1 << 30  # bytes of memory that reading any of these small files may take
_LONGEST = 60.0  # seconds, on a machine that is busy with other things


def _judge(files: dict[str, str], ends: list[Ended]) -> None:
    """Refused with these words about the file, or taken if there are none."""

    def check(name: str, ended: Ended) -> None:
        ended.refused(3, name, files[name]) if files[name] else ended.fine()
        ended.plain()
        assert ended.peak < _MOST, f"it took {ended.peak >> 20} MiB"
        assert ended.seconds < _LONGEST, f"it took {ended.seconds:.0f} s"

    judge(dict(zip(files, ends, strict=True)), check)


def _all(ground: Ground, command: tuple[str, ...], files: dict[str, str]) -> None:
    """files: what must be said of each; none is changed, and nothing is written beside them."""
    before = _content(ground.folder)
    ends = ground.each([[part.replace("FILE", name) for part in command] for name in files])
    _judge(files, ends)
    assert _content(ground.folder) == before, "files were changed or written"


def _content(folder: Path) -> dict[str, tuple[int, int]]:
    hidden = (".commands.json", ".ends.json")
    found = [p for p in folder.rglob("*") if p.name not in hidden]
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in found}


def _texts(ground: Ground, ends: tuple[str, ...]) -> dict[str, str]:
    names = ground.some(name for name in FILES if name.endswith(ends))
    for name in names:
        (ground.folder / name).write_bytes(FILES[name][0])
    return {name: FILES[name][1] for name in names}


def _tables(ground: Ground, which: int) -> dict[str, str]:
    names = ground.some(PARQUET)
    for name in names:
        (ground.folder / f"{name}.parquet").write_bytes(PARQUET[name][0]())
    return {f"{name}.parquet": str(PARQUET[name][which]) for name in names}


@case("rows of JSON")
def _(ground: Ground) -> None:
    _all(ground, ("import", "FILE", "--dry-run"), _texts(ground, (".jsonl",)))


@case("packed rows, CSV, and files that are something else")
def _(ground: Ground) -> None:
    ends = (".gz", ".csv", ".parquet", ".json", ".xlsx", ".pkl", "rows")
    _all(ground, ("import", "FILE", "--dry-run"), _texts(ground, ends))


@case("tables that are imported")
def _(ground: Ground) -> None:
    _all(ground, ("import", "FILE", "--dry-run"), _tables(ground, 1))


@case("tables that are inspected")
def _(ground: Ground) -> None:
    _all(ground, ("inspect", "FILE"), _tables(ground, 2))


@case("files of prompts, of which no half is kept")
def _(ground: Ground) -> None:
    names = ground.some(
        name for name, (_, said) in FILES.items() if said and name.endswith((".jsonl", ".gz"))
    )
    unlike = (
        "chosen",
        "answers",
        "no 'prompt'",
        "known form",
        "test prompts",
        "unpacks",
    )  # what only pairs can lack
    names = [n for n in names if not any(word in FILES[n][1] for word in unlike)]
    for name in names:
        (ground.folder / name).write_bytes(FILES[name][0])
    changes = ("prompts=file", "prompts.path=FILE", "prompts.template=plain", "prompts.n_train=null")
    command = ("run", *SMOKE, *changes, "prompts.n_test=null")
    ends = ground.each([[part.replace("FILE", name) for part in command] for name in names])
    _judge({name: FILES[name][1] for name in names}, ends)
    assert not list(ground.folder.rglob("manifest.json")), "something was taken for whole"
