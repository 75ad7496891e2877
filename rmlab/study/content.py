"""What the report of a study is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rmlab.study.controls import ON
from rmlab.study.finding import Finding
from rmlab.study.judge import Judged, Mean


@dataclass(frozen=True)
class Part:
    """One finding. means: of its places; controls: by name; flagged: what losses take for outliers."""

    finding: Finding
    judged: Sequence[Judged]
    means: Sequence[Mean]
    controls: Mapping[str, Sequence[Mean]]
    flagged: Sequence[Mapping[str, Any]] = ()
    n_cells: int = 0
    largest_n: int = 0

    @property
    def words(self) -> str:
        """How its claims fared: `2 supported, 1 undecided`."""
        verdicts = [j.verdict for j in self.judged]
        return ", ".join(f"{verdicts.count(v)} {v}" for v in dict.fromkeys(verdicts))

    def of(self, metric: str) -> list[Mean]:
        return [m for m in self.means if m.metric == metric]

    def control(self, name: str, metric: str) -> float | None:
        """Its mean; over the data of the finding where there are several."""
        of = [means for full, means in self.controls.items() if full.split(ON)[0] == name]
        found = [m.effect.value for means in of for m in means if m.metric == metric]
        return sum(found) / len(found) if found else None


@dataclass(frozen=True)
class StudyContent:
    """versions, git, created: shown as they are; facts: names to plain values."""

    experiment: str
    reward: str
    parts: Sequence[Part]
    facts: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    git: Mapping[str, Any] = field(default_factory=dict)
    created: str = ""

    @property
    def judged(self) -> list[Judged]:
        return [j for part in self.parts for j in part.judged]

    @property
    def differing(self) -> list[Judged]:
        """Claims of the study that are not borne out here, where this set could tell."""
        return [j for j in self.judged if j.claim.in_study and j.verdict == "not supported"]
