"""The control of held-out accuracy: scikit-learn's tuned logistic regression on differences of embeddings."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import GroupKFold

from rmlab.heads.base import LinearHead, Standardiser

ITERATIONS = 1000
FOLDS = 5
STRENGTHS = tuple(10.0**power for power in range(-7, 3))  # C: to choose from
C_OF_ONE_GROUP = 1e-3  # where there is nothing to choose by


class Fitted(NamedTuple):
    head: LinearHead
    c: float
    converged: bool


def fit_logistic(
    x: np.ndarray, items: np.ndarray, group: np.ndarray, strengths: Sequence[float] = STRENGTHS
) -> Fitted:
    """x: [m, d]; items: [n, 2] rows, the preferred first; group: [n] int -> raw = w · z, in log-odds.

    min over w of |w|²/2 + C * sum of log(1 + exp(-w · (z_i - z_j))) over pairs and mirrored pairs, without an
    intercept; z is x standardised. Of several strengths C the one with the lowest mean log-loss in
    cross-validation is taken, over at most FOLDS folds of whole groups, a pair and its mirror image in the
    same fold. With l2 = 1 / (2 n C) it is the linear Bradley-Terry head.
    """
    standardiser = Standardiser.of(x, items, True)
    differences = (x[items[:, 0]] - x[items[:, 1]]) / standardiser.scale.astype(np.float32)
    mirrored = np.concatenate([differences, -differences])
    label, groups = np.repeat([1, 0], len(items)), np.tile(group, 2)
    n_folds = min(FOLDS, len(np.unique(group)))
    how = {"fit_intercept": False, "max_iter": ITERATIONS}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if n_folds > 1 and len(strengths) > 1:
            folds = list(GroupKFold(n_folds).split(mirrored, label, groups))
            model = LogisticRegressionCV(
                Cs=strengths,
                cv=folds,
                scoring="neg_log_loss",
                l1_ratios=(0,),
                use_legacy_attributes=False,
                **how,
            )
        else:
            model = LogisticRegression(C=strengths[0] if len(strengths) == 1 else C_OF_ONE_GROUP, **how)
        model.fit(mirrored, label)
    converged = not any(issubclass(w.category, ConvergenceWarning) for w in caught)
    c = float(model.C_) if hasattr(model, "C_") else float(model.C)
    head = LinearHead(weight=model.coef_[0].astype(np.float64), intercept=0.0, standardiser=standardiser)
    return Fitted(head, c, converged)
