"""Mean effects with intervals that generalise to other set-ups, seeds and prompts, all three random."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from rmlab.errors import InputError

LEVEL, POWER = 0.95, 0.80
RESAMPLES = 20_000
_ROUNDING = 1e-12  # smaller effects, relative to values of about 1, are rounding errors of sums
_TAIL = (1 - LEVEL) / 2
_FAR = 1e6  # a line that crosses 0 farther away than this many ranges of the axis counts as not crossing


@dataclass(frozen=True)
class Effect:
    """A mean difference, its interval and standard error; df: degrees of freedom of the interval's Student t.

    edge: how far the computation's own randomness may move an end of the interval: three Monte-Carlo errors
    of the bootstrap, plus the change if one cell chose another response on one prompt.
    detectable: the smallest true effect that such data would tell from 0 in 80 % of repetitions,
    (t_.975 + t_.80) times the standard error, which is 2.8 times for many seeds and prompts.
    """

    value: float
    low: float
    high: float
    se: float
    df: float
    n_seeds: int
    n_prompts: int
    n_setups: int = 1
    edge: float = 0.0

    @property
    def detectable(self) -> float:
        return float((stats.t.ppf(1 - _TAIL, self.df) + stats.t.ppf(POWER, self.df)) * self.se)

    def p_above(self, bound: float) -> float:
        """One-sided p-value of the hypothesis that the true effect is at most `bound`."""
        if self.se == 0:
            return float(self.value <= bound)
        return float(stats.t.sf((self.value - bound) / self.se, self.df))

    def p_below(self, bound: float) -> float:
        """One-sided p-value of the hypothesis that the true effect is at least `bound`."""
        if self.se == 0:
            return float(self.value >= bound)
        return float(stats.t.cdf((self.value - bound) / self.se, self.df))


def effect(differences: np.ndarray, rng: np.random.Generator, n: int = RESAMPLES) -> Effect:
    """The mean of differences [U, S, P] or [S, P] (set-ups, seeds, prompts; no NaN) with its interval.

    Bootstrap over all factors: n times, U set-ups, S seeds and P prompts are drawn with replacement,
    independently, and m* = sum_usp a_u b_s c_p d_usp / (U S P), with a, b and c how often each was drawn.
    Both sides of a comparison are in d, so they share all resamples. Its percentiles are too narrow for few
    seeds or set-ups (a variance over S draws of S is (S-1)/S of what it should be, and has no Student's t)
    and count the noise of single cells several times. So they are expanded about the mean, by t_df / z times
    the unbiased standard error over that of the bootstrap: the bootstrap gives the shape, the analysis of
    variance the width.
    Source: Owen 2007 (the pigeonhole bootstrap), Hesterberg 2015 (expanded percentile interval),
    Satterthwaite 1946 (df).
    """
    values = _three_way(differences)
    value = float(values.mean())

    def resampled() -> tuple[np.ndarray, np.ndarray]:
        means = resampled_means(values, rng, n)
        return means, means

    return _expanded(value, values, resampled, n)


def difference_of_shares(parts: np.ndarray, rng: np.random.Generator, n: int = RESAMPLES) -> Effect:
    """The effect m1 / m2 - m3 / m4 with its interval, where m1 to m4 are the means of parts [4, U, S, P].

    The width is that of the linearised values (delta method), whose mean is the effect:
    r1 - r2 + (d1 - r1 d2) / m2 - (d3 - r2 d4) / m4 with r1 = m1 / m2, r2 = m3 / m4; the shape is that of the
    same function of resampled means. Where a resampled m2 or m4 is near 0, shares are huge; that can only
    widen the interval, because it is stretched by the bootstrap's standard error of the linearised values.
    """
    m = parts.mean(axis=(1, 2, 3))
    first, second = m[0] / m[1], m[2] / m[3]
    linear = first - second + (parts[0] - first * parts[1]) / m[1] - (parts[2] - second * parts[3]) / m[3]

    def resampled() -> tuple[np.ndarray, np.ndarray]:
        a, b, c, d, of_linear = resampled_means(np.concatenate([parts, linear[None]]), rng, n)
        with np.errstate(divide="ignore", invalid="ignore"):
            return a / b - c / d, of_linear

    return _expanded(float(first - second), linear, resampled, n)


def _expanded(
    value: float, linear: np.ndarray, resampled: Callable[[], tuple[np.ndarray, np.ndarray]], n: int
) -> Effect:
    """The effect `value` with the bootstrap's interval, expanded as `effect` describes.

    linear: [U, S, P], whose mean has the variance of the effect; resampled: returns the bootstrap of the
    effect and of that mean, [n] each.
    """
    n_setups, n_seeds, n_prompts = linear.shape
    if n_seeds < 1 or n_prompts < 2:
        raise InputError(f"an interval needs 1 seed and 2 prompts, but there are {n_seeds} and {n_prompts}")
    variance, df = variance_of_mean(linear)
    se, sizes = float(np.sqrt(variance)), (n_seeds, n_prompts, n_setups)
    if se <= _ROUNDING * max(1.0, abs(value)):
        value = 0.0 if abs(value) <= _ROUNDING else value
        return Effect(value, value, value, 0.0, df, *sizes)
    means, of_linear = resampled()
    means = means[np.isfinite(means)]
    spread = float(of_linear.std())
    stretch = se / spread * stats.t.ppf(1 - _TAIL, df) / stats.norm.ppf(1 - _TAIL)
    low, high = (float(value + (end - value) * stretch) for end in np.quantile(means, [_TAIL, 1 - _TAIL]))
    of_quantile = np.sqrt(_TAIL * (1 - _TAIL) / n) / stats.norm.pdf(stats.norm.ppf(_TAIL)) * spread
    edge = float(3 * of_quantile * stretch + linear.std() / linear.size)
    return Effect(value, low, high, se, df, *sizes, edge)


def resampled_means(values: np.ndarray, rng: np.random.Generator, n: int) -> np.ndarray:
    """The means of n resamples, shared by all leading indices: values [..., U, S, P] -> [..., n]."""
    n_setups, n_seeds, n_prompts = values.shape[-3:]
    setups, seeds, prompts = (_drawn(rng, n, size) for size in (n_setups, n_seeds, n_prompts))
    of_prompts = values @ prompts.T  # [..., U, S, n]
    of_seeds = np.einsum("...usn,ns->...un", of_prompts, seeds)
    return np.einsum("...un,nu->...n", of_seeds, setups) / (n_setups * n_seeds * n_prompts)


def _drawn(rng: np.random.Generator, n: int, size: int) -> np.ndarray:
    """Counts how often each of `size` items is drawn in `size` draws with replacement. Returns [n, size]: a
    row for each repetition."""
    drawn = rng.integers(size, size=(n, size)) + size * np.arange(n)[:, None]
    return np.bincount(drawn.ravel(), minlength=n * size).reshape(n, size).astype(float)


def variance_of_mean(differences: np.ndarray) -> tuple[float, float]:
    """The variance of the mean of [U, S, P] or [S, P], all factors random, and its degrees of freedom.

    With set-ups u, seeds s and prompts p and the mean squares of main effects and interactions,
    (MS_u + MS_s + MS_p - MS_us - MS_up - MS_sp + MS_usp) / (U S P)
    is unbiased: E MS_u = S P v_u + P v_us + S v_up + v_usp and so on, so that the sum is U S P times
    v_u / U + v_s / S + v_p / P + v_us / (U S) + v_up / (U P) + v_sp / (S P) + v_usp / (U S P).
    The sum is raised to the largest of MS_u, MS_s and MS_p if it is below, as none of these overestimates it.
    A factor with one level drops out; with seeds and prompts alone, (MS_s + MS_p - MS_sp) / (S P) is left.
    """
    values = _three_way(differences)
    squares = _mean_squares(values)
    total = sum((-1) ** (len(factors) + 1) * ms for factors, (ms, _) in squares.items())
    total = max(total, *(ms for factors, (ms, _) in squares.items() if len(factors) == 1))
    spread = sum(ms**2 / df for ms, df in squares.values())
    least = min(df for _, df in squares.values())
    df = total**2 / spread if spread > 0 else float(least)
    return float(total / values.size), float(max(1.0, df))


def _mean_squares(values: np.ndarray) -> dict[tuple[int, ...], tuple[float, int]]:
    """Mean square and degrees of freedom of each set of the axes of [U, S, P] with several levels."""
    axes = [axis for axis in range(3) if values.shape[axis] > 1]
    found = {}
    for factors in (f for r in range(1, len(axes) + 1) for f in itertools.combinations(axes, r)):
        part = values.mean(axis=tuple(a for a in range(3) if a not in factors), keepdims=True)
        for axis in factors:  # leaves the part that no smaller set of factors explains
            part = part - part.mean(axis=axis, keepdims=True)
        df = int(np.prod([values.shape[axis] - 1 for axis in factors]))
        found[factors] = float((part**2).sum()) * values.size / part.size / df, df
    return found


def _three_way(differences: np.ndarray) -> np.ndarray:
    """[U, S, P], of an array that may lack the axis of set-ups."""
    return differences if differences.ndim == 3 else differences[None]


@dataclass(frozen=True)
class Crossing:
    """The place where a line crosses 0, with its 95 % interval; first, last: the range that it was fitted on.

    The ends are infinite if the slope does not differ significantly from 0: the line may cross anywhere.
    """

    value: float
    low: float
    high: float
    first: float
    last: float

    @property
    def is_known(self) -> bool:
        """True if the slope differs significantly from 0, so that the line does cross."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))

    @property
    def is_outside(self) -> bool:
        """True if the line crosses outside the range that it was fitted on."""
        return not self.first <= self.value <= self.last


def crossing(values: np.ndarray, x: np.ndarray) -> Crossing:
    """The place where the least squares line through the means of values [X, U, S, P] at x [X] crosses 0.

    Its interval (Fieller 1954) holds every c at which the line's height does not differ significantly from 0,
    by `effect`'s standard error and t. If its slope does not differ from 0 either, that is all of the axis.
    """
    centre, slope = x.mean(), np.tensordot(slope_weights(x), values, axes=1)
    level, span = values.mean(axis=0), (float(x.min()), float(x.max()))

    def distance(c: float) -> float:
        """The distance of the height from 0 at c, less the half-width of its interval."""
        height = level + (c - centre) * slope
        variance, df = variance_of_mean(height)
        return abs(float(height.mean())) - float(stats.t.ppf(1 - _TAIL, df) * np.sqrt(variance))

    variance, df = variance_of_mean(slope)
    mean = float(slope.mean())
    value = float(centre - level.mean() / mean) if mean else float("nan")
    far = _FAR * float(np.ptp(x))
    if not abs(mean) > stats.t.ppf(1 - _TAIL, df) * np.sqrt(variance) or not abs(value) < far:
        return Crossing(value, -np.inf, np.inf, *span)
    if variance == 0:
        return Crossing(value, value, value, *span)
    ends = []
    for sign in (-1, 1):
        step = float(np.ptp(x)) / 100
        while distance(value + sign * step) <= 0 and step < far:
            step *= 2
        is_open = distance(value + sign * step) <= 0
        ends.append(sign * np.inf if is_open else optimize.brentq(distance, value, value + sign * step))
    return Crossing(value, float(ends[0]), float(ends[1]), *span)


def slope_weights(x: np.ndarray) -> np.ndarray:
    """Weights whose product with values is their regression slope on x: (x - mean) / sum (x - mean)^2."""
    centred = x - x.mean()
    return centred / (centred**2).sum()
