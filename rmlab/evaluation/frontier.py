"""Measures the policies that a reward makes of cached samples: KL, golden reward and promise by prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rmlab.config.fitting import Frontier
from rmlab.errors import InputError
from rmlab.metrics.among_n import best_of_n as expected_best_of_n
from rmlab.metrics.among_n import default_ns, kl_of_n
from rmlab.metrics.intervals import Resamples
from rmlab.metrics.order import ScoreOrder, prompt_blocks
from rmlab.metrics.overoptimisation import Score, gamma_of_prompts
from rmlab.metrics.policies import best_of_n, effective_size, kl_from_samples, soft_best_of_n, tilt
from rmlab.storage.table_schema import Row

ENOUGH = 10.0  # samples that must carry a policy for its figures to be trusted
BEST, SOFT, TILT = "best_of_n", "soft_best_of_n", "tilt"
METHODS = {BEST: "best-of-N", SOFT: "soft best-of-N", TILT: "tilt"}
_KL, _GOLDEN, _PROXY, _SIZE = range(4)  # what is measured of a policy on a prompt
_COLUMNS = ("kl", "golden", "proxy", "golden_gain", "proxy_gain")


@dataclass(frozen=True)
class Point:
    """A policy of a method. n: 0 for a tilt; beta: 0 for best-of-N."""

    method: str
    n: int
    beta: float


@dataclass(frozen=True)
class Samples:
    """The test responses of a reference. golden, group: [m]; golden_deviation: over reference samples.

    order: [m] a random order, by which the samples of a prompt are cut in halves.
    """

    golden: np.ndarray
    group: np.ndarray
    golden_deviation: float
    order: np.ndarray


@dataclass(frozen=True)
class Rewarded:
    """A reward of the samples. rewards: [m], with mean 0 and deviation 1 on reference samples; NaN where it
    failed."""

    arm: str
    kind: str
    rewards: np.ndarray


@dataclass(frozen=True)
class Curves:
    """The policies of one reward on every prompt.

    points: the policies; whole, halves: [P, J, 4], KL, golden reward, promise and effective size with all
    samples of a prompt, and the means over two halves of them; NaN where there are too few. k: samples of a
    prompt, the least; constant: [P] bool, prompts whose samples have one reward.
    """

    of: Rewarded
    points: list[Point]
    whole: np.ndarray
    halves: np.ndarray
    k: int
    constant: np.ndarray
    left_out: int

    @cached_property
    def reference(self) -> np.ndarray:
        """[P, 4] the same of the reference itself, which is the best of one."""
        return self.whole[:, self.points.index(Point(BEST, 1, 0.0))]


def points_of(how: Frontier, k: int) -> list[Point]:
    """All policies that the settings ask for, where prompts have k samples; the reference comes first."""
    ns = sorted({1, *(how.ns or default_ns(k))})
    if ns[-1] > k:
        raise InputError(
            f"frontier.ns asks for the best of {ns[-1]}, but there are prompts with {k} responses; "
            "lower it, or draw more with sampling.n_test"
        )
    best = [Point(BEST, n, 0.0) for n in ns]
    soft = [Point(SOFT, n, beta) for beta in sorted(set(how.soft_betas), reverse=True) for n in ns if n > 1]
    return [*best, *soft, *(Point(TILT, 0, beta) for beta in sorted(set(how.betas), reverse=True))]


def measure(samples: Samples, of: Rewarded, how: Frontier) -> Curves:
    """Measures every policy on every prompt with two samples or more; others are counted."""
    rows = samples.order[np.isfinite(of.rewards[samples.order])]
    group = np.unique(samples.group[rows], return_inverse=True)[1] if len(rows) else rows
    size = np.bincount(group)
    enough = size > 1
    if not enough.any():
        raise InputError(
            f"{of.arm}: no test prompt has two responses with a reward, so that there is nothing to choose "
            "from; draw more with sampling.n_test"
        )
    kept = enough[group]
    rows, group = rows[kept], np.unique(group[kept], return_inverse=True)[1]
    k = int(size[enough].min())
    points = points_of(how, k)
    whole = np.full((int(enough.sum()), len(points), 4), np.nan)
    halves, constant = np.full_like(whole, np.nan), np.zeros(len(whole), dtype=bool)
    for prompts, block in prompt_blocks(group):
        r, g = of.rewards[rows[block]], samples.golden[rows[block]]
        whole[prompts] = _measured(r, g, points)
        half = r.shape[1] // 2
        if half > 1:
            parts = [_measured(r[:, cut], g[:, cut], points) for cut in (slice(half), slice(half, 2 * half))]
            halves[prompts] = np.mean(parts, axis=0)
        constant[prompts] = (r == r[:, :1]).all(axis=1)
    return Curves(of, points, whole, halves, k, constant, int((~enough).sum()))


def _measured(r: np.ndarray, g: np.ndarray, points: Sequence[Point]) -> np.ndarray:
    """r, g: [b, K] -> [b, J, 4]; NaN where N is above K."""
    found = np.full((len(r), len(points), 4), np.nan)
    there = [j for j, p in enumerate(points) if p.n <= r.shape[1]]
    for j, policy in zip(there, _policies(r, [points[j] for j in there]), strict=True):
        found[:, j] = np.stack(
            [kl_from_samples(policy), (policy * g).sum(1), (policy * r).sum(1), effective_size(policy)],
            axis=1,
        )
    best = [j for j in there if points[j].method == BEST]
    ns = [points[j].n for j in best]
    group = np.repeat(np.arange(len(r)), r.shape[1])
    for place, values in ((_GOLDEN, g), (_PROXY, r)):
        order = ScoreOrder.flat(r.ravel(), values.ravel(), group)
        found[:, best, place] = expected_best_of_n(order, ns)
    return found


def _policies(r: np.ndarray, points: Sequence[Point]) -> list[np.ndarray]:
    """The probabilities of every policy, [b, K] each; those of one soft beta come from one integral."""
    soft: dict[tuple[float, int], np.ndarray] = {}
    for beta in {p.beta for p in points if p.method == SOFT}:
        ns = [p.n for p in points if p.method == SOFT and p.beta == beta]
        soft |= {(beta, n): w for n, w in zip(ns, soft_best_of_n(r, beta, ns), strict=True)}
    found = []
    for p in points:
        if p.method == BEST:
            found.append(best_of_n(r, p.n))
        else:
            found.append(tilt(r, p.beta) if p.method == TILT else soft[p.beta, p.n])
    return found


def frontier_rows(curves: Curves, samples: Samples, draws: Resamples, reference: str) -> list[Row]:
    """The rows of the table frontier, with all samples and with half of them."""
    rows = []
    for is_half, values in ((False, curves.whole), (True, curves.halves)):
        unit = samples.golden_deviation if samples.golden_deviation > 0 else np.nan
        gains = values - (values if is_half else curves.whole)[:, :1]
        measured = (
            *(values[:, :, i] for i in (_KL, _GOLDEN, _PROXY)),
            gains[:, :, _GOLDEN] / unit,
            gains[:, :, _PROXY],
        )
        ends = draws.intervals_of(measured)
        size = values[:, :, _SIZE]
        k = curves.k // 2 if is_half else curves.k
        for j, point in enumerate(curves.points):
            there = np.isfinite(size[:, j])
            if point.n > k or not there.any():
                continue
            row: Row = {"arm": curves.of.arm, "kind": curves.of.kind, "method": point.method}
            row |= {"n": point.n, "beta": point.beta, "k": k, "is_half": is_half}
            for name, (mean, low, high) in zip(_COLUMNS, ends, strict=True):
                row |= {name: mean[j], f"{name}_low": low[j], f"{name}_high": high[j]}
            effective = float(size[there, j].mean())
            row |= {
                "kl_bound": kl_of_n(point.n) if point.method == BEST else float(np.log(k)),
                "golden_deviation": samples.golden_deviation,
                "effective_size": effective,
                "share_below_10": float((size[there, j] < ENOUGH).mean()),
                "is_trusted": effective >= ENOUGH,
                "n_prompts": int(there.sum()),
                "n_constant": int(curves.constant.sum()),
                "reference": reference,
            }
            rows.append(row)
    return rows


def score_rows(curves: Curves, samples: Samples, draws: Resamples, reference: str) -> list[Row]:
    """The over-optimisation score of each method, over the points that 10 samples or more carry."""
    sizes = curves.whole[:, :, _SIZE].mean(axis=0)
    start = curves.points.index(Point(BEST, 1, 0.0))
    rows = []
    for method in METHODS:
        mine = [j for j, p in enumerate(curves.points) if p.method == method and p.n != 1]
        if not mine:
            continue
        js = [start, *(j for j in mine if sizes[j] >= ENOUGH)]
        score = _score(curves, samples.golden_deviation, js, draws)
        rows.append(
            {
                "arm": curves.of.arm, "kind": curves.of.kind, "method": method, "gamma": score.gamma,
                "low": score.low, "high": score.high, "kl": score.kl, "n_points": len(js),
                "reference": reference,
            }
        )  # fmt: skip
    return rows


def _score(curves: Curves, deviation: float, js: Sequence[int], draws: Resamples) -> Score:
    """js: the points of the curve, the reference first."""
    if len(js) < 2 or deviation == 0:
        return Score(np.nan, np.nan, np.nan, np.nan)
    ordered = sorted(js, key=lambda j: (curves.whole[:, j, _KL].mean(), js.index(j)))
    gains = curves.whole[:, ordered] - curves.reference[:, None]
    return gamma_of_prompts(gains[:, :, _KL], gains[:, :, _GOLDEN] / deviation, gains[:, :, _PROXY], draws)
