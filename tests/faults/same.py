"""Whether two folders hold the same results, and whether what one holds is whole."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

TIMED = ("seconds", "fit_seconds")  # columns and metrics that are times
_RECORDED = ("stage", "name", "fingerprint", "config", "rows", "counts", "metrics", "warnings")
_TIME = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\+00:00|Z)?|\b\d+(\.\d+)?\s(s|min|h)\b( \d+ (s|min)\b)?|\b\d+ s\b"
)
_SET_RECORD = "set.json"


def differences(expected: Path, found: Path, makes: Iterable[str]) -> list[str]:
    """What differs below the patterns, in words; nothing of times and of hidden files."""
    wanted, there = (_files(folder, makes) for folder in (expected, found))
    missing = [f"{name} is missing" for name in wanted if name not in there]
    extra = [f"{name} is too much" for name in there if name not in wanted]
    both = [name for name in wanted if name in there]
    return missing + extra + [d for name in both for d in _differ(expected / name, found / name, name)]


def _files(folder: Path, makes: Iterable[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for pattern in makes:
        for top in folder.glob(pattern):
            for path in sorted([top] if top.is_file() else top.rglob("*")):
                name = path.relative_to(folder)
                if path.is_file() and not any(p.startswith(".") or p == "logs" for p in name.parts):
                    found[name.as_posix()] = path
    return found


def _differ(expected: Path, found: Path, name: str) -> list[str]:
    if expected.read_bytes() == found.read_bytes():
        return []
    if expected.name == "manifest.json":
        return _manifests(json.loads(expected.read_text()), json.loads(found.read_text()), name)
    if expected.suffix == ".parquet":
        return _tables(expected, found, name)
    if expected.suffix == ".html" and _timeless(expected) == _timeless(found):
        return []
    return [f"{name} differs"]


def _manifests(expected: dict[str, Any], found: dict[str, Any], name: str) -> list[str]:
    """Of files that hold times the checksums differ, but their names do not."""
    keys = [key for key in _RECORDED if expected.get(key) != found.get(key)]
    names = [[file["name"] for file in manifest["files"]] for manifest in (expected, found)]
    return [f"{name}: {key} differs" for key in keys + (["files"] if names[0] != names[1] else [])]


def _tables(expected: Path, found: Path, name: str) -> list[str]:
    try:
        one, other = (pq.read_table(path, page_checksum_verification=True) for path in (expected, found))
    except (pa.ArrowException, OSError):
        return [f"{name} cannot be read"]
    if _untimed(one).equals(_untimed(other)):
        return []
    return [f"{name} differs: {one.num_rows} rows expected, {other.num_rows} found"]


def _untimed(table: pa.Table) -> pa.Table:
    """The table without columns of times, and without rows whose metric is a time."""
    if "metric" in table.column_names:
        table = table.filter(pc.invert(pc.is_in(table["metric"], pa.array(TIMED))))
    return table.drop_columns([column for column in table.column_names if column in TIMED])


def _timeless(page: Path) -> str:
    return _TIME.sub("TIME", page.read_text())


def torn(folder: Path, makes: Iterable[str]) -> list[str]:
    """Artifacts and sets that look finished but are not what their records say."""
    found = []
    for name, path in _files(folder, makes).items():
        if path.name == "manifest.json":
            records = {f["name"]: f["sha256"] for f in json.loads(path.read_text())["files"]}
        elif path.name == _SET_RECORD:
            records = {k: f["sha256"] for k, f in json.loads(path.read_text())["files"].items()}
        else:
            continue
        for file, digest in records.items():
            whole = path.parent / file
            if not whole.is_file() or hashlib.sha256(whole.read_bytes()).hexdigest() != digest:
                found.append(f"{name} says that {file} is whole, which it is not")
    return found


def leftovers(folder: Path) -> list[str]:
    """Unfinished files and folders that nothing will ever remove."""
    ends = (".tmp", ".old", ".new")
    return sorted(str(p.relative_to(folder)) for p in folder.rglob(".*") if p.name.endswith(ends))


def stamps(folder: Path, makes: Iterable[str]) -> dict[str, tuple[int, int]]:
    """What tells a file that was written again."""
    return {n: (p.stat().st_ino, p.stat().st_mtime_ns) for n, p in _files(folder, makes).items()}


def remove(folder: Path, makes: Iterable[str]) -> None:
    for pattern in makes:
        for path in folder.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
