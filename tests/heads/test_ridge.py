"""Ridge regression from moments against scikit-learn, and its strength against the definition of GCV."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import linear_model
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from rmlab.errors import InputError
from rmlab.heads.baselines import RIDGE_STRENGTHS as STRENGTHS
from rmlab.heads.baselines import Ridge


def problem(n: int = 400, d: int = 20, noise: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated features with unlike scales, a target with noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) * np.linspace(0.1, 10, d) + np.linspace(-3, 3, d)
    y = 5.0 + (x / x.std(axis=0)) @ rng.normal(size=d) + noise * rng.normal(size=n)
    return x.astype(np.float32), y


def fit(x: np.ndarray, y: np.ndarray, strengths: np.ndarray = STRENGTHS, block: int | None = None):
    ridge = Ridge(np.asarray(strengths, dtype=float))
    for start in range(0, len(x), block or len(x)):
        rows = slice(start, start + (block or len(x)))
        ridge.add(x[rows], y[rows])
    return ridge.fit()


@pytest.mark.parametrize("alpha", [1e-2, 1.0, 1e2, 1e4])
def test_equals_scikit_learn_at_the_same_strength(alpha):
    x, y = problem()
    head = fit(x, y, [alpha])
    z = StandardScaler().fit_transform(x.astype(np.float64))
    oracle = linear_model.Ridge(alpha=alpha).fit(z, y)
    np.testing.assert_allclose(head.weight, oracle.coef_, atol=2e-4)
    np.testing.assert_allclose(head.score(x), oracle.predict(z), atol=1e-4 * y.std())
    assert np.abs(fit(x, y, [10 * alpha]).weight - oracle.coef_).max() > 1e-3


def gcv(x: np.ndarray, y: np.ndarray, alpha: float) -> float:
    """n |y - H y|² / tr(I - H)², H the matrix that maps targets to predictions, the intercept's part too."""
    z = StandardScaler().fit_transform(x.astype(np.float64))
    n, d = z.shape
    hat = z @ np.linalg.solve(z.T @ z + alpha * np.eye(d), z.T) + np.full((n, n), 1 / n)
    left = np.eye(n) - hat
    return n * float(np.sum((left @ y) ** 2)) / np.trace(left) ** 2


@pytest.mark.parametrize(("n", "d", "noise"), [(400, 20, 2.0), (60, 40, 3.0), (30, 50, 3.0), (200, 5, 100.0)])
def test_the_strength_has_the_lowest_generalised_cross_validation(n, d, noise):
    x, y = problem(n, d, noise)
    best = STRENGTHS[np.argmin([gcv(x, y, alpha) for alpha in STRENGTHS])]
    chosen = fit(x, y)
    np.testing.assert_array_equal(chosen.weight, fit(x, y, [best]).weight)
    assert any(np.abs(chosen.weight - fit(x, y, [other]).weight).max() > 1e-3 for other in STRENGTHS)


def test_leaving_one_out_chooses_about_the_same_strength():
    x, y = problem(150, 40, 8.0)
    z = StandardScaler().fit_transform(x.astype(np.float64))
    by_one = RidgeCV(alphas=STRENGTHS).fit(z, y).alpha_
    assert STRENGTHS[0] < by_one < STRENGTHS[-1]
    at = int(np.flatnonzero(by_one == STRENGTHS)[0])
    near = [fit(x, y, [alpha]).weight for alpha in STRENGTHS[at - 1 : at + 2]]
    assert any(np.array_equal(fit(x, y).weight, weight) for weight in near)


@pytest.mark.parametrize("block", [1, 7, 64, 399])
def test_blocks_of_any_size_equal_one(block):
    x, y = problem()
    whole, streamed = fit(x, y), fit(x, y, block=block)
    np.testing.assert_allclose(streamed.weight, whole.weight, atol=1e-3)
    np.testing.assert_allclose(streamed.score(x), whole.score(x), atol=1e-4 * y.std())


def test_large_offsets_do_not_cancel():
    """Features far from 0 beside their spread: sums of plain squares in float32 would keep nothing of it."""
    x, y = problem(noise=0.5)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    far = (x.astype(np.float64) + 2000.0).astype(np.float32)  # float32 has steps of 1e-4 there
    near, moved = fit(x, y), fit(far, y + 1e6)
    np.testing.assert_allclose(moved.score(far) - 1e6, near.score(x), atol=0.01 * y.std())
    np.testing.assert_allclose(moved.weight, near.weight, atol=0.02)


def test_a_feature_that_never_varies_is_not_used():
    x, y = problem()
    x[:, 3] = 7.0
    head = fit(x, y)
    assert abs(head.weight[3]) < 1e-9 and np.isfinite(head.score(x)).all()
    elsewhere = x.copy()
    elsewhere[:, 3] += 100.0
    np.testing.assert_allclose(head.score(elsewhere), head.score(x), atol=1e-6)


def test_a_target_that_never_varies_is_its_own_prediction():
    x, _ = problem()
    np.testing.assert_allclose(fit(x, np.full(len(x), 3.5)).score(x), 3.5, atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_numbers_that_have_no_squares_are_one_line(bad):
    x, y = problem()
    x[17, 2] = bad
    with (
        np.errstate(all="ignore"),
        pytest.raises(InputError, match="NaN, infinity or numbers too large.*embed"),
    ):
        fit(x, y)
