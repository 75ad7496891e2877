"""Records of unfinished work, each with its own digest: one that is not as it was written counts as none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rmlab.artifacts.files import plain, write_json
from rmlab.artifacts.fingerprint import digest


def sealed(value: Any) -> dict[str, Any]:
    """value: as JSON has it, but for what `plain` makes of the rest."""
    kept = plain(value)
    return {"value": kept, "sha256": digest(kept)}


def unsealed(text: bytes) -> Any | None:
    """The value, or None where a byte of it is another."""
    try:
        found = json.loads(text)
        return found["value"] if found["sha256"] == digest(found["value"]) else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def write_sealed(file: Path, value: Any) -> None:
    write_json(file, sealed(value))


def read_sealed(file: Path) -> Any | None:
    """None where it is not there, too."""
    try:
        return unsealed(file.read_bytes())
    except OSError:
        return None
