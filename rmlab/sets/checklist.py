"""What `rmlab validate` found: a list of checks, each with its failures of one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rmlab.errors import one_line

OK, FAILED, SKIPPED = "ok", "failed", "not checked"


@dataclass
class Check:
    """meaning: what holds where nothing failed; skipped: why it could not be looked at."""

    name: str
    meaning: str
    failures: list[str] = field(default_factory=list)
    skipped: str = ""

    @property
    def state(self) -> str:
        return FAILED if self.failures else SKIPPED if self.skipped else OK

    def fail(self, text: str) -> None:
        self.failures.append(one_line(text))

    def rows(self, file: str, bad: np.ndarray | Sequence[bool], what: str) -> None:
        """One failure for all rows of a file that are bad in the same way. bad: [n] bool."""
        at = np.flatnonzero(np.asarray(bad, dtype=bool))
        if len(at):
            more = f" (and {len(at) - 1:,} more rows)" if len(at) > 1 else ""
            self.fail(f"{file}, row {at[0] + 1}: {what}{more}")

    def values(self, file: str, bad: np.ndarray, what: str, values: Sequence[Any] | np.ndarray) -> None:
        """The same; {} in `what` is the value of the first such row."""
        at = np.flatnonzero(bad)
        if len(at):
            self.rows(file, bad, what.format(_shown(values[int(at[0])])))


def _shown(value: Any) -> str:
    value = value.as_py() if hasattr(value, "as_py") else value
    value = value.item() if hasattr(value, "item") else value
    return str(value)[:80]


@dataclass
class Checklist:
    place: str
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        return [failure for check in self.checks for failure in check.failures]

    def to_json(self) -> dict[str, Any]:
        checks = [
            {"name": c.name, "state": c.state, "meaning": c.meaning, "failures": c.failures}
            for c in self.checks
        ]
        return {
            "set": self.place,
            "valid": not self.failures,
            "checks": checks,
            "failures": self.failures,
            "notes": self.notes,
        }
