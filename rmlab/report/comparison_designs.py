"""The designs of comparisons that heads were fitted on, as the rows of a table."""

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
    """The row of a head. Numbers that its fit does not have are NaN.

    letter: heads fitted on the same comparisons have the same. precision, recall: those of the flagged
    comparisons as wrong answers.
    """

    arm: ShownArm
    words: str
    bins: pd.DataFrame  # LABEL_VARIANCE
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
    letter: str = ""

    @property
    def counts(self) -> tuple[int, ...]:
        """Comparisons in each bin of p(1-p)."""
        return tuple(int(n) for n in self.bins["count"])


def design_rows(content: ReportContent, arms: list[ShownArm]) -> list[DesignRow]:
    """A row for each head, in the order of `arms`; letters are given in this order."""
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
    """A key that is equal for heads fitted on the same comparisons: words, and numbers where those agree."""
    return (row.words, row.counts, row.n, f"{row.error} {row.gap}")  # as text, NaN equals NaN


def _letter(index: int) -> str:
    """The letter of a design: A to Z, then A2 to Z2, …"""
    again = index // 26
    return chr(ord("A") + index % 26) + (str(again + 1) if again else "")


def _row(arm: ShownArm, design: ComparisonDesign, words: str) -> DesignRow:
    labels, flagged = design.metrics.get("train_labels", {}), design.metrics.get("flagged", {})
    # If comparisons are selected, annotators have answered all candidates.
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
    """The number of this name; NaN if it is absent or null, which a manifest has for NaN."""
    value = values.get(name)
    return math.nan if value is None else float(value)


def _chosen(values: dict[str, Any]) -> str:
    """Chosen values as `l2 0.1, iterations 5`; for an ensemble, the range of each over its members."""
    found: dict[str, list[Any]] = {}
    for key, value in values.items():
        found.setdefault(key.rpartition(".")[2], []).append(value)
    return ", ".join(f"{name} {_range(several)}" for name, several in found.items())


def _range(values: list[Any]) -> str:
    if all(isinstance(v, int | float) for v in values) and min(values) < max(values):
        return f"{count(min(values))} to {count(max(values))}"
    return " or ".join(dict.fromkeys(count(v) for v in values))
