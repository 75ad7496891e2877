"""Small files of text and JSON that a stranger may have written: read whole, within bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LARGEST = 2**28  # bytes of a file that is read whole
DEEPEST = 100  # levels of lists and objects in JSON


def read_plain_text(file: Path) -> str:
    """UTF-8; OSError or ValueError that says what is wrong. No pipe or device is waited for."""
    if file.exists() and not file.is_file():
        raise ValueError("it is no plain file")
    if (size := file.stat().st_size) > LARGEST:
        raise ValueError(f"it has {size:,} bytes, more than {LARGEST:,}")
    return file.read_text(encoding="utf-8")


def parse_json(text: str) -> Any:
    """ValueError of what is no JSON, or so deep that code which walks it would run out of stack."""
    try:
        found = json.loads(text)
    except RecursionError:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep") from None
    # Looked at only where there are brackets enough, so that short rows cost nothing.
    if len(text) > 2 * DEEPEST and text.count("[") + text.count("{") > DEEPEST and not _is_shallow(found):
        raise ValueError(f"it is nested more than {DEEPEST} levels deep")
    return found


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST + 1):
        parts = [v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list)]
        level = [child for part in parts for child in part]
        if not level:
            return True
    return False
