"""The checks of an embedding set and their failures, and those checks that look only at its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rmlab.errors import one_line
from rmlab.sets.card import front_matter
from rmlab.storage.digest import file_digest
from rmlab.storage.files import read_plain_text
from rmlab.storage.set_record import CARD, LICENSE, EmbeddingSet

OK, FAILED, SKIPPED = "ok", "failed", "not checked"


@dataclass
class Check:
    """One check. meaning: what holds if nothing failed; skipped: why it could not be made."""

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
        """Adds one failure for all rows of a file that are bad in the same way. bad: [n] bool."""
        at = np.flatnonzero(np.asarray(bad, dtype=bool))
        if len(at):
            more = f" (and {len(at) - 1:,} more rows)" if len(at) > 1 else ""
            self.fail(f"{file}, row {at[0] + 1}: {what}{more}")

    def values(self, file: str, bad: np.ndarray, what: str, values: Sequence[Any] | np.ndarray) -> None:
        """Like `rows`, with the value of the first such row in place of {} in `what`."""
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


LARGE = 50_000_000  # bytes of a file that hosts of Git repositories begin to refuse


def check_files(opened: EmbeddingSet, check: Check) -> None:
    """Checks that every policy has responses, scores and vectors by every embedder, and nothing else."""
    listed, expected = set(opened.record.files), set(opened.expected_files())
    for name in sorted(expected - listed):
        check.fail(f"set.json lists no {name}; every policy needs its responses, scores and all embedders")
    for name in sorted(listed - expected):
        check.fail(f"set.json lists {name}, which belongs to none of its policies and embedders")
    for name in sorted(expected & listed):
        if not (opened.folder / name).is_file():
            check.fail(f"{name} is missing")
    for file in sorted(opened.folder.glob("*.parquet")):
        if file.name not in expected:
            check.fail(f"{file.name} belongs to none of the policies and embedders; take it out")


def check_checksums(opened: EmbeddingSet, check: Check) -> None:
    for name in opened.expected_files():
        file, known = opened.folder / name, opened.record.files.get(name)
        if known is None or not file.is_file():
            continue
        size = file.stat().st_size
        if size != known.bytes:
            check.fail(f"{name} has {size:,} bytes, but set.json says {known.bytes:,}")
        elif file_digest(file) != known.sha256:
            check.fail(f"{name} has another checksum than set.json says")


def check_card(opened: EmbeddingSet, check: Check) -> None:
    card, license_file = opened.folder / CARD, opened.folder / LICENSE
    try:
        found = front_matter(read_plain_text(card)).get("license")
        if not isinstance(found, str) or not found.strip():
            check.fail(f"{CARD}: its front matter has no license; add a line such as license: cc-by-4.0")
        elif found.lower() != opened.record.license.lower():
            check.fail(f"{CARD}: its license is {found}, but set.json says {opened.record.license}")
    except (OSError, ValueError) as error:
        check.fail(f"{CARD} cannot be used: {getattr(error, 'strerror', None) or error}")
    try:
        if not read_plain_text(license_file).strip():
            check.fail(f"{LICENSE} is empty; put the licence's text there")
    except (OSError, ValueError) as error:
        check.fail(f"{LICENSE} cannot be read: {getattr(error, 'strerror', None) or error}")


def size_notes(opened: EmbeddingSet) -> list[str]:
    sizes = {name: file.bytes for name, file in opened.record.files.items()}
    notes = [f"{sum(sizes.values()) / 1e6:.1f} MB in {len(sizes)} Parquet files"]
    large = [name for name, size in sizes.items() if size > LARGE]
    if large:
        notes.append(f"{', '.join(large)}: over {LARGE / 1e6:.0f} MB, which hosts of Git repositories refuse")
    return notes
