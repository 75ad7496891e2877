"""What the heads were fitted on: the rows of the table of designs, and the distinct designs among them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from rmlab.report.content import ComparisonDesign, ReportContent
from rmlab.report.shown_arms import ShownArm
from rmlab.report.wording import count, design_words


@dataclass(frozen=True)
class DesignRow:
    """One head. Numbers are NaN where the fit has none; `precision` and `recall` are of what is flagged."""

    arm: ShownArm
    words: str
    bins: pd.DataFrame  # of p(1-p)
    n: float
    n_ties: float
    error: float  # percent
    gap: float
    variance: float
    agreement: float  # percent
    kappa: float
    n_flagged: float
    precision: float
    recall: float
    is_converged: bool
    chosen: str
    letter: str = ""  # of its design: the same for heads fitted on the same comparisons

    @property
    def counts(self) -> tuple[int, ...]:
        """The distribution of p(1-p)."""
        return tuple(int(n) for n in self.bins["count"])


def design_rows(content: ReportContent, arms: list[ShownArm]) -> list[DesignRow]:
    """A row a head, in the order of `arms`; a design has the letter of its first row."""
    by_arm = {design.arm: design for design in content.designs}
    configs = [design.config for design in content.designs]
    letters: dict[tuple[object, ...], str] = {}
    rows = []
    for arm in arms:
        if arm.name in by_arm:
            row = _row(arm, by_arm[arm.name], design_words(by_arm[arm.name].config, configs))
            rows.append(replace(row, letter=letters.setdefault(_identity(row), _letter(len(letters)))))
    return rows


def _identity(row: DesignRow) -> tuple[object, ...]:
    """Equal for heads fitted on the same comparisons; what `words` leave out shows in the numbers."""
    return (row.words, row.counts, row.n, f"{row.error} {row.gap}")  # as text, NaN equals NaN


def _letter(index: int) -> str:
    """A to Z, then A2 to Z2, …"""
    again = index // 26
    return chr(ord("A") + index % 26) + (str(again + 1) if again else "")


def _row(arm: ShownArm, design: ComparisonDesign, words: str) -> DesignRow:
    labels, flagged = design.metrics.get("train_labels", {}), design.metrics.get("flagged", {})
    # Where comparisons are selected, the annotators have answered all candidates.
    crowd = design.metrics.get("candidates_labels", labels)
    return DesignRow(
        arm=arm,
        words=words,
        bins=design.variance,
        n=_number(labels, "n"),
        n_ties=_number(labels, "n_ties"),
        error=100 * _number(labels, "error_rate"),
        gap=_number(labels, "mean_margin"),
        variance=_number(labels, "label_variance_mean"),
        agreement=100 * _number(crowd, "pairwise_agreement"),
        kappa=_number(crowd, "fleiss_kappa"),
        n_flagged=_number(flagged, "n"),
        precision=_number(flagged, "precision"),
        recall=_number(flagged, "recall"),
        is_converged=bool(design.metrics.get("converged", True)),
        chosen=_chosen(design.metrics.get("chosen") or {}),
    )


def _number(values: dict[str, Any], name: str) -> float:
    """A manifest has null for NaN."""
    value = values.get(name)
    return math.nan if value is None else float(value)


def _chosen(values: dict[str, Any]) -> str:
    """`l2 0.1, iterations 5`; of the members of an ensemble the range of each."""
    found: dict[str, list[Any]] = {}
    for key, value in values.items():
        found.setdefault(key.rpartition(".")[2], []).append(value)
    return ", ".join(f"{name} {_range(several)}" for name, several in found.items())


def _range(values: list[Any]) -> str:
    if all(isinstance(v, int | float) for v in values) and min(values) < max(values):
        return f"{count(min(values))} to {count(max(values))}"
    return " or ".join(dict.fromkeys(count(v) for v in values))
