"""The content of a study's report, as data classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rmlab.provenance import git_state, now, versions
from rmlab.report import wording
from rmlab.storage.manifest import Manifest
from rmlab.study.claims import JudgedClaim, Mean, counts
from rmlab.study.finding import Finding
from rmlab.study.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class AboutSweep:
    """The facts that a page tells about the sweep that it is made of.

    facts, versions, git: values by name; versions, git and created are shown as they are.
    """

    facts: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    git: Mapping[str, Any] = field(default_factory=dict)
    created: str = ""


def about(sweep: Manifest, n_prompts: int, largest_n: int, facts: Mapping[str, str]) -> dict[str, Any]:
    """Returns the values of AboutSweep for a page that is written now. facts: more of them, shown first."""
    shared = {
        "Cells": f"{sweep.counts['cells']:,}, of which {sweep.counts['failed']:,} failed",
        "Test prompts": f"{n_prompts:,}, best of up to {largest_n:,} responses",
        "Time of the sweep": wording.duration(sweep.seconds),
    }
    made = {"versions": versions(), "git": git_state(), "created": now()}
    return {"facts": {**facts, **shared}, "warnings": sweep.warnings, "command": sweep.command, **made}


@dataclass(frozen=True)
class StudyContent(AboutSweep):
    """Everything that the page shows. setting: policy, golden reward and embedding, in words."""

    experiment: str
    setting: str
    parts: Sequence[Part]

    @property
    def judged(self) -> list[JudgedClaim]:
        return [j for part in self.parts for j in part.judged]

    @property
    def counts(self) -> dict[Verdict, int]:
        """Number of claims with each verdict after the correction."""
        return counts(self.judged)

    @property
    def differing(self) -> list[JudgedClaim]:
        """Claims of the original study that this set contradicts, or finds negligible."""
        words = ("contradicted", "negligible")
        return [j for j in self.judged if j.claim.in_study and j.verdict in words]


@dataclass(frozen=True)
class Part:
    """One finding. means: of its places; controls: means by control; flagged: outliers that losses flag."""

    finding: Finding
    judged: Sequence[JudgedClaim]
    means: Sequence[Mean]
    controls: Mapping[str, Sequence[Mean]]
    flagged: Sequence[Mapping[str, Any]] = ()
    n_cells: int = 0
    largest_n: int = 0

    @property
    def words(self) -> str:
        """Numbers of verdicts after the correction: `2 supported, 1 undecided`."""
        return in_words(counts(self.judged))

    @property
    def setups(self) -> list[str]:
        """Names of the set-ups whose own effects are shown."""
        return list(dict.fromkeys(setup for j in self.judged for setup in j.by_setup))

    @property
    def has_coins(self) -> bool:
        return any(mean.is_coin for mean in self.means)

    def of(self, metric: str) -> list[Mean]:
        return [m for m in self.means if m.metric == metric]

    def control(self, name: str, metric: str) -> float | None:
        """The metric of a control, its mean over the data of the finding."""
        return next((m.effect.value for m in self.controls.get(name, ()) if m.metric == metric), None)


def in_words(found: Mapping[Verdict, int]) -> str:
    return ", ".join(f"{n} {word}" for word, n in found.items())
