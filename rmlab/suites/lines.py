"""The results of a suite with intervals: prompts are resampled, and all results computed from each resample.

A resample draws as many prompts as there are from the whole file, each with all of its rows, so that results
that share prompts move together. Intervals are widened as all over prompts are, with the standard error of a
sum of ratios (`rmlab/metrics/intervals.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rmlab.metrics.group_mean import ratio_parts
from rmlab.metrics.intervals import Resamples, widened
from rmlab.suites.base import Kind, Line, Question, Scores, Suite, Tally, is_equal

RESAMPLES = 2000


@dataclass(frozen=True)
class ScoredLine:
    """A result.

    low, high: its 95 % interval, None where a part of it has one prompt; rows, prompts: how many it is of.
    """

    name: str
    kind: Kind
    score: float
    low: float | None
    high: float | None
    rows: int
    prompts: int


@dataclass(frozen=True)
class SuiteResults:
    """lines: the last is the overall result; equal: rows where a right and a wrong answer score the same."""

    lines: list[ScoredLine]
    notes: list[str]
    equal: int

    @property
    def overall(self) -> ScoredLine:
        return self.lines[-1]


def suite_results(
    suite: Suite, questions: Sequence[Question], scores: Scores, seed: int = 0, n: int = RESAMPLES
) -> SuiteResults:
    """The results of scores of the answers of each question. n: resamples."""
    measured = suite.measure(questions, scores)
    _, unit = np.unique([q.unit for q in questions], return_inverse=True)
    equal = sum(is_equal(q, s) for q, s in zip(questions, scores, strict=True))
    return SuiteResults(scored_lines(measured, unit, seed, n), list(measured.notes), equal)


def scored_lines(measured: Tally, unit: np.ndarray, seed: int, n: int) -> list[ScoredLine]:
    """unit: [m] the prompt of each question, numbered from 0."""
    n_units = int(unit.max()) + 1
    names = list(measured.terms)
    sums, sizes = (np.zeros((n_units, len(names))) for _ in range(2))
    for column, term in enumerate(measured.terms.values()):
        sums[:, column] = np.bincount(unit[term.rows], term.values, minlength=n_units)
        sizes[:, column] = np.bincount(unit[term.rows], minlength=n_units)
    means = _resampled(sums, sizes, Resamples.draw(n_units, np.random.default_rng(seed), n))
    found = []
    for line in measured.lines:
        of = [names.index(name) for name in line.weights]
        value, low, high = _interval(line, sums[:, of], sizes[:, of], means[:, of])
        rows = np.unique(np.concatenate([measured.terms[name].rows for name in line.weights]))
        n_prompts = len(np.unique(unit[rows]))
        found.append(ScoredLine(line.name, line.kind, value, low, high, len(rows), n_prompts))
    return found


def _resampled(sums: np.ndarray, sizes: np.ndarray, resamples: Resamples) -> np.ndarray:
    """The means of all terms on each resample, [n, terms]; NaN where it has none of a term's prompts."""
    means = np.empty((resamples.n, sums.shape[1]))
    for rows, counts in resamples.blocks():
        weights = counts.astype(np.float64)
        with np.errstate(invalid="ignore"):
            means[rows] = (weights @ sums) / (weights @ sizes)
    return means


def _interval(
    line: Line, sums: np.ndarray, sizes: np.ndarray, means: np.ndarray
) -> tuple[float, float | None, float | None]:
    """A result with the ends of its interval. sums, sizes: [P, k] of its terms; means: [n, k] resampled."""
    weights = np.array(list(line.weights.values()))
    value = float(sums.sum(axis=0) / sizes.sum(axis=0) @ weights)
    if ((sizes > 0).sum(axis=0) < 2).any():
        return value, None, None
    parts = _parts(sums, sizes, weights)
    ends = widened(np.array([value]), (means @ weights)[None], parts[:, None])
    # few prompts widen it beyond what the result can be
    low, high = (float(np.clip(end[0], line.least, line.most)) for end in ends)
    return value, low, high


def _parts(sums: np.ndarray, sizes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A value for each prompt, whose mean is the result, and whose spread gives its standard error, [P]."""
    counted = sizes.sum(axis=1) > 0
    columns = zip(sums.T, sizes.T, weights, strict=True)
    found: np.ndarray = np.sum([w * ratio_parts(s, size, counted) for s, size, w in columns], axis=0)
    return found
