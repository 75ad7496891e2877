"""Judging arms on a split: their metrics with intervals, as rows of the evaluation's tables."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from rmlab.config.fitting import Evaluation
from rmlab.evaluation.measure import JudgedSplit, Measured, Odds, PairAnswers, measure, within
from rmlab.metrics.among_n import kl_of_n
from rmlab.metrics.calibration import reliability
from rmlab.metrics.conformal import AnsweredPairs, prompt_outcomes, threshold
from rmlab.metrics.intervals import Resamples
from rmlab.noise.base import Labels
from rmlab.storage.table_schema import Row

ALPHAS = (0.1, 0.2)  # shares of wrong decisions that conformal abstention allows
PAIRED_METRICS = ("best_of_n", "spearman", "accuracy", "selected_quantile")
_OWN, _NO_OWN = ("proxy", "proxy_low", "proxy_high"), (np.nan, np.nan, np.nan)
_WITH_N = ("best_of_n", "selected_quantile")


@dataclass(frozen=True)
class ScoredArm:
    """A head or a control before it is judged. scores: [m]; raw: [m] scores as fitted, whose differences over
    the temperature are log-odds, None of a control; annotator: who answered the comparisons it is fitted on.
    """

    name: str
    kind: str
    scores: np.ndarray
    raw: np.ndarray | None = None
    temperature: float = 1.0
    annotator: Labels | None = None

    def take(self, rows: np.ndarray) -> ScoredArm:
        raw = None if self.raw is None else self.raw[rows]
        return replace(self, scores=self.scores[rows], raw=raw)


@dataclass(frozen=True)
class JudgedArm:
    """One arm on one split: every metric of every prompt, and what calibration is measured on.

    odds: of pairs and what became of them; None of an arm that gives no probabilities.
    """

    arm: str
    kind: str
    split: str
    measured: Measured
    odds: Odds | None = None

    @property
    def n_prompts(self) -> int:
        return len(self.measured.golden)

    def resamples(self, how: Evaluation, seed: int) -> Resamples:
        """One draw a split: all arms and metrics are judged on the same resamples of prompts."""
        return _resamples(self.split, seed, self.n_prompts, how.resamples)

    def n_of(self, metric: str) -> int:
        return self.measured.ns[-1] if metric in _WITH_N else 0

    @property
    def n_constant(self) -> int:
        """Prompts whose responses the arm scores alike, and which count 0 in its rank correlations."""
        return int(self.measured.constant.sum())

    def label(self) -> Row:
        return {"arm": self.arm, "kind": self.kind, "split": self.split}


def judge(split: JudgedSplit, arm: ScoredArm, seed: int) -> JudgedArm:
    """The arm's scores are of the responses of the split; seed: of the answers that annotators give."""
    odds = None
    if arm.raw is not None:
        first, second = split.pairs
        golden = split.golden[first], split.golden[second]
        by_order = PairAnswers.golden(*golden)
        answers = by_order
        if arm.annotator is not None and len(first):
            answers = PairAnswers.drawn(arm.annotator, *golden, seed)
        odds = Odds(arm.raw[first] - arm.raw[second], arm.temperature, by_order, answers)
    return JudgedArm(arm.name, arm.kind, split.name, measure(split, arm.scores), odds)


@lru_cache(maxsize=4)
def _resamples(split: str, seed: int, n_prompts: int, n: int) -> Resamples:
    return Resamples.draw(n_prompts, np.random.default_rng([seed, zlib.crc32(split.encode())]), n)


def metric_rows(
    judged: list[JudgedArm],
    how: Evaluation,
    seed: int,
    agreement: Mapping[str, Mapping[str, float]] | None = None,
) -> list[Row]:
    """agreement: of each head with the annotators' validation answers, by name."""
    rows = []
    tables = [np.column_stack(list(j.measured.per_prompt.values())) for j in judged]
    for j, values, (mean, low, high) in zip(
        judged, tables, _intervals(judged, tables, how, seed), strict=True
    ):
        label = {**j.label(), "n_constant": j.n_constant}
        for k, metric in enumerate(j.measured.per_prompt):
            ends = dict(zip(("low", "high"), within(metric, low[k], high[k]), strict=True))
            numbers = {"value": mean[k], **ends, "n_prompts": _defined(values[:, k])}
            rows.append({**label, "metric": metric, "n": j.n_of(metric), **numbers})
        if j.odds is not None:
            alone = {"low": np.nan, "high": np.nan, "n_prompts": j.n_prompts}
            numbers = j.odds.numbers()
            if j.split == "validation" and agreement is not None:
                numbers |= agreement[j.arm]
            for metric, number in numbers.items():
                rows.append({**label, "metric": metric, "n": 0, "value": number, **alone})
    return rows


def conformal_rows(judged: list[JudgedArm], how: Evaluation, seed: int) -> list[Row]:
    """Conformal abstention of each head on test prompts, calibrated on the annotators' answers to the
    validation pairs and judged by their answers to the test pairs.

    The guarantee takes the head as given, but heads chose their strength or stopped by these prompts, so
    coverage is measured and not taken for granted.
    """
    rows = []
    answered = {(j.arm, j.split): j for j in judged if j.odds is not None and len(j.odds.annotators.pair)}
    for (arm, split), test in answered.items():
        validation = answered.get((arm, "validation"))
        if split != "test" or validation is None:
            continue
        for alpha in ALPHAS:
            q = threshold(_answered(validation), alpha)
            found = prompt_outcomes(_answered(test), q, test.n_prompts)
            values = np.column_stack(list(found.values()))
            of_each = np.stack(test.resamples(how, seed).intervals(values), axis=1)
            label = {**test.label(), "n": 0, "n_constant": test.n_constant}
            for name, column, (mean, low, high) in zip(found, values.T, of_each, strict=True):
                numbers = {"value": mean, "low": np.clip(low, 0, 1), "high": np.clip(high, 0, 1)}
                metric = f"conformal_{name}_{100 - round(100 * alpha)}"
                rows.append({**label, "metric": metric, **numbers, "n_prompts": _defined(column)})
    return rows


def _answered(j: JudgedArm) -> AnsweredPairs:
    if j.odds is None:
        raise ValueError(f"{j.arm} gives no probabilities of pairs")
    answers = j.odds.annotators
    return AnsweredPairs(j.odds.margin[answers.pair], answers.first, j.measured.pair_prompt[answers.pair])


def curve_rows(judged: list[JudgedArm], how: Evaluation, seed: int) -> list[Row]:
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


def _curves(j: JudgedArm) -> np.ndarray:
    """[P, 2 len(ns)]: golden reward, then the head's own score; of controls, of other units, [P, len(ns)]
    golden reward alone."""
    m = j.measured
    return np.hstack([m.golden, m.proxy]) if j.kind == "head" else m.golden


def _intervals(
    judged: Sequence[JudgedArm], tables: Sequence[np.ndarray], how: Evaluation, seed: int
) -> list[np.ndarray]:
    """[3, columns] of each table, which is of the arm in its place; a split's resamples are drawn once."""
    found = [np.empty(0)] * len(tables)
    for split in dict.fromkeys(j.split for j in judged):
        here = [k for k, j in enumerate(judged) if j.split == split]
        drawn = judged[here[0]].resamples(how, seed)
        for k, of in zip(here, drawn.intervals_of([tables[k] for k in here]), strict=True):
            found[k] = of
    return found


def paired_rows(judged: list[JudgedArm], how: Evaluation, seed: int) -> list[Row]:
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


def calibration_rows(judged: list[JudgedArm]) -> list[Row]:
    rows = []
    for j in judged:
        if j.odds is not None and len(j.odds.annotators.pair):
            answers = j.odds.annotators
            rows += bin_rows(j.arm, j.split, j.odds.probability(answers), answers.first)
    return rows


def bin_rows(arm: str, split: str, probability: np.ndarray, answer: np.ndarray) -> list[Row]:
    """A row for each bin with pairs. probability, answer: [n], as in `reliability`."""
    found = reliability(probability, answer)
    return [
        {
            "arm": arm,
            "split": split,
            "bin": int(k),
            "predicted": found["prob"][k],
            "observed": found["correct"][k],
            "count": int(found["count"][k]),
        }
        for k in np.flatnonzero(found["count"])
    ]


def _defined(values: np.ndarray) -> int:
    return int((~np.isnan(values)).sum())


def judge_one(judged: JudgedArm, evaluation: Evaluation, seed: int) -> dict[str, float]:
    """best_of_n, spearman, accuracy, selected_quantile, each with _low and _high; kendall,
    length_spearman; the numbers of Odds; largest_n, n_prompts, n_constant, golden_mean, golden_deviation.
    The numbers of metric_rows; NaN where not defined."""
    per_prompt = judged.measured.per_prompt
    found = judged.resamples(evaluation, seed).intervals(np.column_stack(list(per_prompt.values())))
    row: dict[str, float] = {}
    for metric, mean, low, high in zip(per_prompt, *found, strict=True):
        row[metric] = float(mean)
        if metric in PAIRED_METRICS:
            row[f"{metric}_low"], row[f"{metric}_high"] = within(metric, low, high)
    if judged.odds is not None:
        row |= judged.odds.numbers()
    row |= {"largest_n": float(judged.measured.ns[-1]), "n_prompts": float(judged.n_prompts)}
    row["n_constant"] = float(judged.n_constant)
    row |= {"golden_mean": judged.measured.golden_mean, "golden_deviation": judged.measured.golden_deviation}
    return row
