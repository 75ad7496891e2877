"""The baseline is scikit-learn's regression, and the linear Bradley-Terry head at the same strength."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from rmlab.comparisons import Comparisons
from rmlab.heads.base import FitData
from rmlab.heads.linear import Linear
from rmlab.heads.logistic import fit_logistic
from rmlab.losses.bradley_terry import BradleyTerry


def preferences(n=300, d=7, seed=0):
    """x [2n, d], items [n, 2]: noisy preferences along a direction, features of unlike size."""
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(2 * n, d)) * np.logspace(-1, 1, d) + 3).astype(np.float32)
    items = np.arange(2 * n).reshape(n, 2)
    margin = (x[items[:, 0]] - x[items[:, 1]]) @ (rng.normal(size=d) / np.logspace(-1, 1, d))
    wrong = rng.random(n) > 1 / (1 + np.exp(-np.abs(margin)))
    return x, np.where((margin < 0)[:, None] ^ wrong[:, None], items[:, ::-1], items)


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("c", [0.03, 1.0])
def test_linear_bradley_terry_at_the_same_strength_has_the_same_weights(c, standardise):
    x, items = preferences()
    baseline = fit_logistic(x, items, c, standardise).head
    l2 = 1 / (2 * len(items) * c)
    data = FitData(x, Comparisons(items, items[:, 0]), Comparisons(items[:0], items[:0, 0]))
    head, log = Linear(l2=l2, tolerance=1e-9, standardise=standardise).fit(data, BradleyTerry(), seed=0)
    assert log.converged
    largest = np.abs(head.weight).max()
    np.testing.assert_allclose(baseline.weight, head.weight, atol=2e-3 * largest)
    mine, theirs = (h.raw(x)[items] for h in (head, baseline))
    assert ((mine[:, 0] > mine[:, 1]) == (theirs[:, 0] > theirs[:, 1])).mean() > 0.99


def test_it_is_scikit_learn_on_mirrored_differences():
    x, items = preferences(seed=1)
    d = x[items[:, 0]] - x[items[:, 1]]
    model = LogisticRegression(fit_intercept=False, max_iter=1000)
    model.fit(np.concatenate([d, -d]), np.repeat([1, 0], len(d)))
    scores = fit_logistic(x, items).head.raw(x)
    np.testing.assert_allclose(
        scores[items[:, 0]] - scores[items[:, 1]], d @ model.coef_[0], rtol=1e-4, atol=1e-5
    )


def test_a_fit_that_stops_early_says_so(monkeypatch):
    x, items = preferences()
    assert fit_logistic(x, items).converged
    monkeypatch.setattr("rmlab.heads.logistic.ITERATIONS", 1)
    assert not fit_logistic(x, items).converged
