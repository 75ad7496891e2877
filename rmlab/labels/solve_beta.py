"""The inverse noise that gives an annotator a wanted error rate."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from rmlab.errors import InputError


def solve_beta(gap: np.ndarray, error: float) -> float:
    """beta with mean sigma(-beta * gap) = error. gap: [n] > 0; error in (0, 1/2).

    Every comparison errs at least so often at -logit(error) / max, and at most so often at
    -logit(error) / min, so the solution lies between; the mean falls with beta, so there is one.
    """
    unreached = InputError(f"no beta gives the error {error}: use a rate further from 0 and 0.5")
    with np.errstate(over="ignore"):
        low, high = -logit(error) / gap.max() / 2, -logit(error) / gap.min() * 2
    if not 0 < low < high < np.inf:
        raise unreached

    def excess(log_beta: float) -> float:
        with np.errstate(over="ignore"):  # sigma(-inf) is 0, as it should be
            return float(expit(-np.exp(log_beta) * gap).mean() - error)

    ends = float(np.log(low)), float(np.log(high))
    if not excess(ends[0]) >= 0 >= excess(ends[1]):
        raise unreached
    return float(np.exp(brentq(excess, *ends)))
