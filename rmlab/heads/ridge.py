"""Ridge regression from moments, for more rows than fit into memory."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

from rmlab.errors import InputError
from rmlab.heads.linear_head import LinearHead
from rmlab.heads.standardise import FLOAT32_RESOLUTION, Standardiser

RIDGE_STRENGTHS = np.logspace(0, 6, 13)


class Ridge:
    """min over w, b of |y - Z w - b|² + alpha |w|², Z standardised; alpha by generalised cross-validation,

    n RSS / (n - 1 - sum_i e_i / (e_i + alpha))², e_i the eigenvalues of ZᵀZ. Only sums over rows are kept.
    Source: Golub, Heath & Wahba 1979.
    """

    def __init__(self, strengths: np.ndarray = RIDGE_STRENGTHS) -> None:
        self.strengths = strengths
        self.n = 0
        self._origin = np.zeros(0)
        self._products = np.zeros((0, 0))

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """x: [b, d], y: [b]. Sums are taken about the mean of the first rows, so that little cancels."""
        rows = np.column_stack([x, y]).astype(np.float64)
        if self.n == 0:
            self._origin = rows.mean(axis=0)
            self._products = np.zeros((rows.shape[1] + 1,) * 2)
        rows -= self._origin
        rows = np.column_stack([rows, np.ones(len(rows))]).astype(np.float32)
        self._products += rows.T @ rows
        self.n += len(rows)

    def fit(self) -> LinearHead:
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
        """Weights along the eigenvectors at the best alpha."""
        best = (np.inf, target)
        for alpha in self.strengths:
            weight = target / (eigenvalues + alpha)
            residual = total - 2 * weight @ target + eigenvalues @ weight**2
            freedom = self.n - 1 - np.sum(eigenvalues / (eigenvalues + alpha))
            best = min(best, (self.n * residual / freedom**2, weight), key=lambda pair: pair[0])
        return best[1]
