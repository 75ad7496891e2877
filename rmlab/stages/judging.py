"""Rows of the evaluation's tables, from the scores of the arms."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from rmlab.metrics.best_of_n import kl_of_n
from rmlab.metrics.calibration import expected_calibration_error, reliability
from rmlab.metrics.resamples import Resamples
from rmlab.settings import Evaluation
from rmlab.stages.measuring import Measured, measure, pair_probabilities
from rmlab.stages.responses import Responses

Row = dict[str, Any]
PAIRED_METRICS = ("best_of_n", "spearman", "accuracy", "selected_quantile")
_OWN, _NO_OWN = ("proxy", "proxy_low", "proxy_high"), (np.nan, np.nan, np.nan)
_WITH_N = ("best_of_n", "selected_quantile")


@dataclass(frozen=True)
class Judged:
    """One arm on one split: every metric of every prompt, and what calibration is measured on.

    odds: probabilities of pairs, and whether they came true; None of an arm whose scores are no log-odds.
    """

    arm: str
    kind: str
    split: str
    measured: Measured
    odds: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def n_prompts(self) -> int:
        return len(self.measured.golden)

    def resamples(self, how: Evaluation, seed: int) -> Resamples:
        """One draw a split: all arms and metrics are judged on the same resamples of prompts."""
        return _resamples(self.split, seed, self.n_prompts, how.resamples)

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """The odds; none without log-odds."""
        return (np.empty(0), np.empty(0, dtype=bool)) if self.odds is None else self.odds

    @property
    def ece(self) -> float:
        return expected_calibration_error(*self.pairs) if len(self.pairs[0]) else np.nan

    def n_of(self, metric: str) -> int:
        return self.measured.ns[-1] if metric in _WITH_N else 0

    def label(self) -> Row:
        return {"arm": self.arm, "kind": self.kind, "split": self.split}


def judge(
    arm: str,
    kind: str,
    split: str,
    responses: Responses,
    lengths: np.ndarray,
    scores: np.ndarray,
    raw: np.ndarray | None = None,
) -> Judged:
    """The scores of one arm on one split; lengths in words; raw: not normalised, so margins are log-odds.

    Arms of a split should share their `responses` and `lengths`: what is computed of these is kept.
    """
    odds = None if raw is None else pair_probabilities(responses, lengths, raw)
    return Judged(arm, kind, split, measure(responses, lengths, scores), odds)


@lru_cache(maxsize=4)
def _resamples(split: str, seed: int, n_prompts: int, n: int) -> Resamples:
    return Resamples.draw(n_prompts, np.random.default_rng([seed, zlib.crc32(split.encode())]), n)


def metric_rows(judged: list[Judged], how: Evaluation, seed: int) -> list[Row]:
    rows = []
    tables = [np.column_stack(list(j.measured.per_prompt.values())) for j in judged]
    for j, values, (mean, low, high) in zip(
        judged, tables, _intervals(judged, tables, how, seed), strict=True
    ):
        for k, metric in enumerate(j.measured.per_prompt):
            numbers = {"value": mean[k], "low": low[k], "high": high[k], "n_prompts": _defined(values[:, k])}
            rows.append({**j.label(), "metric": metric, "n": j.n_of(metric), **numbers})
        if j.odds is not None:
            numbers = {"value": j.ece, "low": np.nan, "high": np.nan, "n_prompts": j.n_prompts}
            rows.append({**j.label(), "metric": "ece", "n": 0, **numbers})
    return rows


def curve_rows(judged: list[Judged], how: Evaluation, seed: int) -> list[Row]:
    """Golden reward and, for heads, the head's own score of what it chooses, against N."""
    rows = []
    tables = [_curves(j) for j in judged]
    for j, found in zip(judged, _intervals(judged, tables, how, seed), strict=True):
        m, count = j.measured, len(j.measured.ns)
        for k, n in enumerate(m.ns):
            golden = dict(zip(("value", "low", "high"), found[:, k], strict=True))
            own = dict(zip(_OWN, found[:, count + k] if j.kind == "head" else _NO_OWN, strict=True))
            unit = {"golden_mean": m.golden_mean, "golden_deviation": m.golden_deviation}
            row = {**j.label(), "n": n, "kl": kl_of_n(n), **golden, **own, **unit}
            rows.append({**row, "n_prompts": j.n_prompts})
    return rows


def _curves(j: Judged) -> np.ndarray:
    """[P, 2 len(ns)]: golden reward, then the head's own score; of controls, of other units, [P, len(ns)]
    golden reward alone."""
    m = j.measured
    return np.hstack([m.golden, m.proxy]) if j.kind == "head" else m.golden


def _intervals(
    judged: Sequence[Judged], tables: Sequence[np.ndarray], how: Evaluation, seed: int
) -> list[np.ndarray]:
    """[3, columns] of each table, which is of the arm in its place; a split's resamples are drawn once."""
    found = [np.empty(0)] * len(tables)
    for split in dict.fromkeys(j.split for j in judged):
        here = [k for k, j in enumerate(judged) if j.split == split]
        drawn = judged[here[0]].resamples(how, seed)
        for k, of in zip(here, drawn.intervals_of([tables[k] for k in here]), strict=True):
            found[k] = of
    return found


def paired_rows(judged: list[Judged], how: Evaluation, seed: int) -> list[Row]:
    """Each head less each other arm, on the same prompts."""
    rows = []
    heads, cells_of, tables = [], [], []
    for a in (j for j in judged if j.kind == "head"):
        others = [b for b in judged if b.split == a.split and b.arm != a.arm]
        cells = [(b, metric) for b in others for metric in PAIRED_METRICS]
        if not cells:
            continue
        heads.append(a)
        cells_of.append(cells)
        tables.append(
            np.column_stack([a.measured.per_prompt[m] - b.measured.per_prompt[m] for b, m in cells])
        )
    found = _intervals(heads, tables, how, seed)
    for a, cells, values, (mean, low, high) in zip(heads, cells_of, tables, found, strict=True):
        for k, (b, metric) in enumerate(cells):
            names = {"arm": a.arm, "other": b.arm, "split": a.split, "metric": metric, "n": a.n_of(metric)}
            numbers = {"value": mean[k], "low": low[k], "high": high[k], "n_prompts": _defined(values[:, k])}
            rows.append({**names, **numbers})
    return rows


def calibration_rows(judged: list[Judged], how: Evaluation | None = None, seed: int = 0) -> list[Row]:
    """how, seed: as for the other tables; the pairs do not depend on them, so that arms and runs compare."""
    rows = []
    for j in judged:
        prob, right = j.pairs
        if not len(prob):
            continue
        found = reliability(prob, right)
        for k in np.flatnonzero(found["count"]):
            row = {"bin": int(k), "predicted": found["prob"][k], "observed": found["correct"][k]}
            rows.append({"arm": j.arm, "split": j.split, **row, "count": int(found["count"][k])})
    return rows


def _defined(values: np.ndarray) -> int:
    return int((~np.isnan(values)).sum())
