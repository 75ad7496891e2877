"""The control of held-out accuracy: scikit-learn's logistic regression on differences of embeddings."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from rmlab.heads.base import LinearHead, Standardiser

ITERATIONS = 1000


class Fitted(NamedTuple):
    head: LinearHead
    converged: bool


def fit_logistic(x: np.ndarray, items: np.ndarray, c: float = 1.0, standardise: bool = False) -> Fitted:
    """x: [m, d]; items: [n, 2] rows, the preferred first -> raw = w · z, whose differences are log-odds.

    min over w of |w|²/2 + c * sum of log(1 + exp(-w · (z_i - z_j))) over pairs and mirrored pairs, without an
    intercept. z is x, or x standardised. With l2 = 1 / (2 n c) it is the linear Bradley-Terry head.
    """
    standardiser = Standardiser.of(x, items, standardise)
    scale = standardiser.scale.astype(np.float32)
    differences = (x[items[:, 0]] - x[items[:, 1]]) / scale
    mirrored = np.concatenate([differences, -differences])
    label = np.repeat([1, 0], len(differences))
    model = LogisticRegression(C=c, fit_intercept=False, max_iter=ITERATIONS)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(mirrored, label)
    converged = not any(issubclass(w.category, ConvergenceWarning) for w in caught)
    weight = model.coef_[0].astype(np.float64)
    return Fitted(LinearHead(weight=weight, intercept=0.0, standardiser=standardiser), converged)
