"""Digests of values and files, and records that carry their own digest."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rmlab.storage.files import json_text, parse_json, plain, write_text


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces; TypeError for values without a stable identity."""
    _check(value, "value")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _check(value: Any, where: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise TypeError(f"{where} is {value}: a fingerprint needs finite numbers")
    if value is None or isinstance(value, str | int | float | bool):
        return
    if isinstance(value, list | tuple):
        for i, item in enumerate(value):
            _check(item, f"{where}[{i}]")
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{where} has the key {key!r}: keys must be strings")
            _check(item, f"{where}.{key}")
        return
    raise TypeError(f"{where} is a {type(value).__name__}, which has no stable identity")


def digest(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def fingerprint(stage: str, version: int, config: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """64 hex digits that name what a stage computes; inputs maps a role to a fingerprint or checksum."""
    return digest({"stage": stage, "version": version, "config": dict(config), "inputs": dict(inputs)})


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digest(folder: Path, hashed: Callable[[Path], str] = file_digest) -> str:
    """Digest of all files below a folder, by relative name and content (hidden files left out)."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not _hidden(p.relative_to(folder)))
    return digest({p.relative_to(folder).as_posix(): hashed(p) for p in files})


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def row_id(*parts: str | int) -> str:
    """24 hex digits that name a row by its parts."""
    return digest(list(parts))[:24]


SEAL = "sha256"


def sealed(record: Mapping[str, Any], key: str = SEAL) -> dict[str, Any]:
    """The record as plain JSON values, with its digest under the key."""
    kept = plain(record)
    return {**kept, key: digest(kept)}


def unsealed(
    text: str, key: str = SEAL, as_written: Callable[[dict[str, Any]], str] = json_text
) -> dict[str, Any]:
    """The record without its seal; ValueError if the text is not byte for byte what was written."""
    found = parse_json(text)
    record = {k: v for k, v in found.items() if k != key} if isinstance(found, dict) else {}
    try:
        if as_written({**record, key: digest(record)}) == text:
            return record
    except (TypeError, ValueError):  # half a surrogate or an endless number, which are never written
        pass
    raise ValueError("it is not as it was written")


def write_sealed(file: Path, value: Any) -> None:
    write_text(file, json_text(sealed({"value": value})))


def read_sealed(file: Path) -> Any | None:
    """The value; None if the file is absent or not as it was written."""
    try:
        return unsealed(file.read_bytes().decode("utf-8"))["value"]
    except (OSError, ValueError, KeyError):
        return None
