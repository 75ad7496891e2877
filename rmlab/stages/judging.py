"""Rows of the evaluation's tables, from the scores of the arms."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from rmlab.metrics.accuracy import pairwise_accuracy
from rmlab.metrics.best_of_n import best_of_n_ragged, default_ns, kl_of_n
from rmlab.metrics.bootstrap import interval, interval_curves, paired_interval
from rmlab.metrics.calibration import expected_calibration_error, reliability
from rmlab.metrics.rank_correlation import kendall, spearman
from rmlab.settings import Evaluation
from rmlab.stages.responses import Responses

Row = dict[str, Any]
_MAX_PAIRS = 200_000  # of calibration, drawn at random where there are more


@dataclass(frozen=True)
class Judged:
    """The scores of one arm on one split; lengths in words; raw: not normalised, so margins are log-odds."""

    arm: str
    kind: str
    split: str
    responses: Responses
    lengths: np.ndarray
    scores: np.ndarray
    raw: np.ndarray | None = None

    @property
    def flat(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.scores, self.responses.golden, self.responses.group

    @property
    def largest_n(self) -> int:
        """The most responses that every prompt has."""
        return int(np.unique(self.responses.group, return_counts=True)[1].min())

    def rng(self, seed: int) -> np.random.Generator:
        """One stream a split: all arms are judged on the same resamples of prompts."""
        return np.random.default_rng([seed, zlib.crc32(self.split.encode())])

    def label(self) -> Row:
        return {"arm": self.arm, "kind": self.kind, "split": self.split}


def _best(judged: Judged) -> np.ndarray:
    return best_of_n_ragged(*judged.flat, [judged.largest_n])[:, 0]


def metric_rows(judged: list[Judged], how: Evaluation, seed: int) -> list[Row]:
    rows = []
    for j in judged:
        for metric, n, values in _per_prompt(j):
            mean, low, high = interval(values, j.rng(seed), how.resamples)
            defined = int((~np.isnan(values)).sum())
            numbers = {"value": mean, "low": low, "high": high, "n_prompts": defined}
            rows.append({**j.label(), "metric": metric, "n": n, **numbers})
        if j.raw is not None:
            prob, right = _pairs(j)
            ece = expected_calibration_error(prob, right) if len(prob) else np.nan
            numbers = {"value": ece, "low": np.nan, "high": np.nan, "n_prompts": len(np.unique(j.flat[2]))}
            rows.append({**j.label(), "metric": "ece", "n": 0, **numbers})
    return rows


def _per_prompt(j: Judged) -> Iterator[tuple[str, int, np.ndarray]]:
    yield "best_of_n", j.largest_n, _best(j)
    yield "spearman", 0, spearman(*j.flat)
    yield "kendall", 0, kendall(*j.flat)
    yield "accuracy", 0, pairwise_accuracy(*j.flat)
    yield "length_spearman", 0, spearman(j.scores, j.lengths, j.responses.group)


def curve_rows(judged: list[Judged], how: Evaluation, seed: int) -> list[Row]:
    rows = []
    for j in judged:
        ns = default_ns(j.largest_n)
        values = best_of_n_ragged(*j.flat, ns)
        mean, low, high = interval_curves(values, j.rng(seed), how.resamples)
        for k, n in enumerate(ns):
            numbers = {"value": mean[k], "low": low[k], "high": high[k], "n_prompts": len(values)}
            rows.append({**j.label(), "n": n, "kl": kl_of_n(n), **numbers})
    return rows


def paired_rows(judged: list[Judged], how: Evaluation, seed: int) -> list[Row]:
    """Each head less each other arm, on the same prompts."""
    rows = []
    for a in (j for j in judged if j.kind == "head"):
        for b in (j for j in judged if j.split == a.split and j.arm != a.arm):
            mean, low, high = paired_interval(_best(a), _best(b), a.rng(seed), how.resamples)
            numbers = {"value": mean, "low": low, "high": high, "n_prompts": len(_best(a))}
            rows.append({"arm": a.arm, "other": b.arm, "split": a.split, "n": a.largest_n, **numbers})
    return rows


def calibration_rows(judged: list[Judged]) -> list[Row]:
    rows = []
    for j in (j for j in judged if j.raw is not None):
        prob, right = _pairs(j)
        if not len(prob):
            continue
        found = reliability(prob, right)
        for k in np.flatnonzero(found["count"]):
            row = {"bin": int(k), "predicted": found["prob"][k], "observed": found["correct"][k]}
            rows.append({"arm": j.arm, "split": j.split, **row, "count": int(found["count"][k])})
    return rows


def _pairs(j: Judged) -> tuple[np.ndarray, np.ndarray]:
    """For same-prompt pairs in the order of their ids: sigma(margin), whether the first is truly better."""
    rng, first, second = np.random.default_rng(0), [], []
    order = np.argsort(j.responses.group, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(j.responses.group[order])) + 1):
        left, right = np.triu_indices(len(rows), 1)
        first.append(rows[left])
        second.append(rows[right])
    a, b = np.concatenate(first), np.concatenate(second)
    untied = np.flatnonzero(j.responses.golden[a] != j.responses.golden[b])
    if len(untied) > _MAX_PAIRS:
        untied = np.sort(rng.choice(untied, _MAX_PAIRS, replace=False))
    a, b = a[untied], b[untied]
    margin = np.zeros(len(a)) if j.raw is None else j.raw[a] - j.raw[b]
    return expit(margin), j.responses.golden[a] > j.responses.golden[b]
