"""Baselines for heads: tuned logistic regression on pairs, and ridge regression on golden scores."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import GroupKFold

from rmlab.errors import InputError
from rmlab.heads.fitted.base import FLOAT32_RESOLUTION, Standardiser
from rmlab.heads.fitted.linear import LinearHead

ITERATIONS = 1000
FOLDS = 5
STRENGTHS = tuple(10.0**power for power in range(-7, 3))  # of C, to choose from
C_OF_ONE_GROUP = 1e-3  # where one group of pairs allows no cross-validation
RIDGE_STRENGTHS = np.logspace(0, 6, 13)


class LogisticFit(NamedTuple):
    """A head with the strength C that was chosen."""

    head: LinearHead
    c: float
    converged: bool


def fit_logistic(
    x: np.ndarray, items: np.ndarray, group: np.ndarray, strengths: Sequence[float] = STRENGTHS
) -> LogisticFit:
    """Fits a logistic regression on differences of pairs; the head's raw = w · z is in log-odds.

    x: [m, d]; items: [n, 2] rows of x, the preferred first; group: [n] int.
    min over w of |w|²/2 + C * sum of log(1 + exp(-w · (z_i - z_j))) over pairs and mirrored pairs, without an
    intercept; z is x standardised. Of several strengths C the one with the lowest mean log-loss in
    cross-validation is taken, over at most FOLDS folds of whole groups, with a pair and its mirror image in
    the same fold. With l2 = 1 / (2 n C) it is the linear Bradley-Terry head.
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
    return LogisticFit(head, c, converged)


class Ridge:
    """Ridge regression: min over w, b of |y - Z w - b|² + alpha |w|², Z standardised. It keeps sums only.

    alpha minimises the generalised cross-validation n RSS / (n - 1 - sum_i e_i / (e_i + alpha))², with e_i
    the eigenvalues of ZᵀZ. Source: Golub, Heath & Wahba 1979.
    """

    def __init__(self, strengths: np.ndarray = RIDGE_STRENGTHS) -> None:
        self.strengths = strengths
        self.n = 0
        self._origin = np.zeros(0)
        self._products = np.zeros((0, 0))

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Adds rows, x: [b, d], y: [b]. Sums are relative to the first rows' mean, so that little cancels."""
        rows = np.column_stack([x, y]).astype(np.float64)
        if self.n == 0:
            self._origin = rows.mean(axis=0)
            self._products = np.zeros((rows.shape[1] + 1,) * 2)
        rows -= self._origin
        rows = np.column_stack([rows, np.ones(len(rows))]).astype(np.float32)
        self._products += rows.T @ rows
        self.n += len(rows)

    def fit(self) -> LinearHead:
        """Solves for the head of all rows added so far."""
        if not np.isfinite(self._products).all():
            raise InputError(
                "embeddings or golden scores hold NaN, infinity or numbers too large to square; "
                "run `rmlab embed` again with --force"
            )
        sums = self._products[-1, :-1] / self.n
        covariance = self._products[:-1, :-1] / self.n - np.outer(sums, sums)
        mean, variance = (self._origin + sums)[:-1], np.diag(covariance)[:-1].clip(min=0)
        floor = FLOAT32_RESOLUTION * np.abs(mean)
        scale = np.where(np.sqrt(variance) > floor, np.sqrt(variance), 1.0)
        eigenvalues, vectors = eigh(self.n * covariance[:-1, :-1] / np.outer(scale, scale))
        target = vectors.T @ (self.n * covariance[:-1, -1] / scale)
        weight = vectors @ self._solve(eigenvalues.clip(min=0), target, self.n * covariance[-1, -1])
        intercept = float((self._origin + sums)[-1])
        return LinearHead(weight=weight, intercept=intercept, standardiser=Standardiser(mean, scale))

    def _solve(self, eigenvalues: np.ndarray, target: np.ndarray, total: float) -> np.ndarray:
        """Returns the weights along the eigenvectors at the best alpha."""
        best = (np.inf, target)
        for alpha in self.strengths:
            weight = target / (eigenvalues + alpha)
            residual = total - 2 * weight @ target + eigenvalues @ weight**2
            freedom = self.n - 1 - np.sum(eigenvalues / (eigenvalues + alpha))
            best = min(best, (self.n * residual / freedom**2, weight), key=lambda pair: pair[0])
        return best[1]
