"""What the report of a study is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rmlab.study.claims import JudgedClaim, Mean, counts
from rmlab.study.finding import Finding
from rmlab.study.verdict import Verdict


@dataclass(frozen=True)
class Part:
    """One finding. means: of its places; controls: by name; flagged: what losses take for outliers."""

    finding: Finding
    judged: Sequence[JudgedClaim]
    means: Sequence[Mean]
    controls: Mapping[str, Sequence[Mean]]
    flagged: Sequence[Mapping[str, Any]] = ()
    n_cells: int = 0
    largest_n: int = 0

    @property
    def words(self) -> str:
        """How its claims fared, after the correction: `2 supported, 1 undecided`."""
        return in_words(counts(self.judged))

    @property
    def setups(self) -> list[str]:
        """Those that its claims are shown on one by one."""
        return list(dict.fromkeys(setup for j in self.judged for setup in j.by_setup))

    @property
    def has_coins(self) -> bool:
        return any(mean.is_coin for mean in self.means)

    def of(self, metric: str) -> list[Mean]:
        return [m for m in self.means if m.metric == metric]

    def control(self, name: str, metric: str) -> float | None:
        """Its mean over the data of the finding."""
        return next((m.effect.value for m in self.controls.get(name, ()) if m.metric == metric), None)


@dataclass(frozen=True)
class StudyContent:
    """setting: policy, golden reward and embedding, in words; versions, git, created: shown as they are;
    facts: names to plain values."""

    experiment: str
    setting: str
    parts: Sequence[Part]
    facts: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    git: Mapping[str, Any] = field(default_factory=dict)
    created: str = ""

    @property
    def judged(self) -> list[JudgedClaim]:
        return [j for part in self.parts for j in part.judged]

    @property
    def counts(self) -> dict[Verdict, int]:
        """Of each word, how many claims have it after the correction."""
        return counts(self.judged)

    @property
    def differing(self) -> list[JudgedClaim]:
        """Claims of the study that are not borne out here, where this set could tell."""
        words = ("contradicted", "negligible")
        return [j for j in self.judged if j.claim.in_study and j.verdict in words]


def in_words(found: Mapping[Verdict, int]) -> str:
    return ", ".join(f"{n} {word}" for word, n in found.items())
