"""A record of a log as its line, and an error as its whole story."""

from __future__ import annotations

import json
import os
import traceback
from datetime import UTC, datetime
from typing import Any

from rmlab.logs.words import shortened

LONGEST = 200_000  # letters of a line
_CUT = LONGEST // 16  # of each text in a line that would be longer: an escape takes up to twelve


def line(event: str, level: str, fields: dict[str, Any]) -> bytes:
    """In ASCII, so that no text can end the line, whatever it holds."""
    head = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "event": event}
    head["pid"] = os.getpid()  # type: ignore[assignment]
    text = _json(head | fields)
    if text is None or len(text) > LONGEST:
        text = json.dumps(head | {"cut": shortened(repr(fields), _CUT)})
    return text.encode("ascii") + b"\n"


def _json(value: dict[str, Any]) -> str | None:
    """None for what JSON cannot tell."""
    try:
        return json.dumps(value, allow_nan=False, default=str)
    except (ValueError, TypeError, RecursionError):
        return None


def message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "a message that cannot be made"


def trace_of(error: BaseException) -> str:
    """Where it was raised, and after it the errors that it came from, those that its message hides too."""
    parts: list[str] = []
    known: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in known:
        known.add(id(cause))
        parts.append("".join(traceback.format_exception(cause, chain=False)))
        cause = cause.__cause__ or cause.__context__
    return shortened("\nIt came from:\n".join(parts), _CUT)
