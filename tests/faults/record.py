"""What struck, and whether it was survived."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

PHASES = ("start-up", "mid-shard", "before a rename", "before the manifest", "after the manifest")


@dataclass(frozen=True)
class Outcome:
    """wrong: what was not as it should be; empty if the fault was survived."""

    group: str
    stage: str
    phase: str
    wrong: str = ""


@dataclass(frozen=True)
class Skipped:
    """A fault that cannot be made here."""

    group: str
    why: str


def with_end(outcomes: Iterable[Outcome], wrong: Iterable[str]) -> list[Outcome]:
    """The outcomes of faults that struck one after the other, with what was wrong in the end."""
    end = "; ".join(wrong)
    return [Outcome(o.group, o.stage, o.phase, o.wrong or end) for o in outcomes]


def table(outcomes: list[Outcome]) -> list[str]:
    """Lines: how many faults of each kind struck each stage, and how many were survived."""
    kinds = list(dict.fromkeys((o.group, o.phase) for o in outcomes))
    lines = []
    for group, phase in kinds:
        here = [o for o in outcomes if (o.group, o.phase) == (group, phase)]
        survived = sum(not o.wrong for o in here)
        stages = Counter(o.stage for o in here)
        by_stage = ", ".join(f"{stage} {n}" for stage, n in stages.items())
        lines.append(f"{group}, {phase}: {survived}/{len(here)} ({by_stage})")
    return lines


def short_of(outcomes: list[Outcome], group: str, most: int, each: int) -> list[str]:
    """Where fewer faults struck than a whole run must have."""
    n = Counter(o.phase for o in outcomes if o.group == group)
    found = [f"{n[phase]} {group}, {phase}: fewer than {each}" for phase in PHASES if n[phase] < each]
    return found + ([f"{n.total()} {group}: fewer than {most}"] if n.total() < most else [])
