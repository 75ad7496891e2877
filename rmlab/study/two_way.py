"""An effect over prompts and seeds, with an interval that generalises to other prompts and other seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from rmlab.errors import InputError

LEVEL, POWER = 0.95, 0.80
_ROUNDING = 1e-12  # what is less, relative to values of about 1, is the rounding of sums


@dataclass(frozen=True)
class Effect:
    """A mean difference, its interval and standard error; df: of Student's t that the interval uses.

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

    @property
    def detectable(self) -> float:
        return float((stats.t.ppf((1 + LEVEL) / 2, self.df) + stats.t.ppf(POWER, self.df)) * self.se)

    def p_not(self, null: float, is_two_sided: bool = True) -> float:
        """How likely an effect as far from `null` would be, were that the truth; one-sided: as far above."""
        distance = self.value - null
        if self.se == 0:
            return float(distance == 0 or (distance < 0 and not is_two_sided))
        if is_two_sided:
            return float(2 * stats.t.sf(abs(distance) / self.se, self.df))
        return float(stats.t.sf(distance / self.se, self.df))


def effect(differences: np.ndarray, rng: np.random.Generator, n: int = 2000) -> Effect:
    """differences: [S, P], one a seed and prompt, without NaN -> the mean, with its 95 % interval.

    Two-way bootstrap: n times S seeds and P prompts are drawn with replacement, independently, and
    m* = sum_sp a_s b_p d_sp / (S P), a and b how often each was drawn. Both sides of a comparison are in
    d, so they share all resamples. Its percentiles are too narrow for few seeds (a variance over S draws
    of S is (S-1)/S of what it should be, and has no Student's t) and count the noise of single cells
    thrice. So they are expanded about the mean, by t_df / z times the unbiased standard error over that
    of the bootstrap: the bootstrap gives the shape, the analysis of variance the width.
    Source: Owen 2007 (the pigeonhole bootstrap), Hesterberg 2015 (expanded percentile interval),
    Satterthwaite 1946 (df).
    """
    n_seeds, n_prompts = differences.shape
    if n_seeds < 1 or n_prompts < 2:
        raise InputError(f"an interval needs a seed and 2 prompts: got {n_seeds} and {n_prompts}")
    value = float(differences.mean())
    variance, df = variance_of_mean(differences)
    if np.sqrt(variance) <= _ROUNDING * max(1.0, abs(value)):
        value = 0.0 if abs(value) <= _ROUNDING else value
        return Effect(value, value, value, 0.0, df, n_seeds, n_prompts)
    means = resampled_means(differences, rng, n)
    spread = float(means.std())
    stretch = np.sqrt(variance) / spread * stats.t.ppf((1 + LEVEL) / 2, df) / stats.norm.ppf((1 + LEVEL) / 2)
    ends = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low, high = (float(value + (end - value) * stretch) for end in ends)
    return Effect(value, low, high, float(np.sqrt(variance)), df, n_seeds, n_prompts)


def resampled_means(differences: np.ndarray, rng: np.random.Generator, n: int) -> np.ndarray:
    """[S, P] -> [n], the means of n two-way resamples."""
    n_seeds, n_prompts = differences.shape
    seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=n)
    prompts = rng.multinomial(n_prompts, np.full(n_prompts, 1 / n_prompts), size=n)
    return ((seeds @ differences) * prompts).sum(axis=1) / differences.size


def variance_of_mean(differences: np.ndarray) -> tuple[float, float]:
    """[S, P] -> the variance of the mean over random seeds and prompts, and its degrees of freedom.

    With mean squares of seeds, prompts and the rest: (MS_s + MS_p - MS_e) / (S P), which is unbiased,
    but no less than either of the first two alone; of a single seed MS_p / P.
    """
    n_seeds, n_prompts = differences.shape
    grand, by_seed, by_prompt = differences.mean(), differences.mean(axis=1), differences.mean(axis=0)
    prompts = n_seeds * float(((by_prompt - grand) ** 2).sum()) / (n_prompts - 1)
    if n_seeds == 1:
        return prompts / n_prompts, n_prompts - 1.0
    seeds = n_prompts * float(((by_seed - grand) ** 2).sum()) / (n_seeds - 1)
    rest_df = (n_seeds - 1) * (n_prompts - 1)
    residual = differences - by_seed[:, None] - by_prompt + grand
    rest = float((residual**2).sum()) / rest_df
    total = max(seeds + prompts - rest, seeds, prompts)
    squares = seeds**2 / (n_seeds - 1) + prompts**2 / (n_prompts - 1) + rest**2 / rest_df
    df = total**2 / squares if squares > 0 else n_seeds - 1.0
    return total / differences.size, float(max(1.0, df))
