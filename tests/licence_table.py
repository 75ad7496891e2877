"""The tables of licences in data/README.md."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

CARD = Path(__file__).parents[1] / "data" / "README.md"


def table(first: str) -> list[list[str]]:
    """The rows of the table whose first column is called so."""
    lines = CARD.read_text(encoding="utf-8").partition(f"\n| {first} |")[2].splitlines()[2:]
    rows = lines[: next((k for k, line in enumerate(lines) if not line.startswith("|")), len(lines))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in rows]


def licence_of(path: str) -> str | None:
    """Of a file by its path in the repository; None where no row has it."""
    found = [
        licence
        for patterns, _, licence in table("files")
        for pattern in re.findall(r"`([^`]+)`", patterns)
        if fnmatchcase(path, pattern)
    ]
    assert len(found) <= 1, f"{path} has {len(found)} rows"
    return found[0] if found else None
