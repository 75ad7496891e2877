"""The baseline is scikit-learn's tuned regression, and the linear Bradley-Terry head at the same strength."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold

from rmlab.comparisons import Comparisons
from rmlab.heads.base import FitData
from rmlab.heads.baselines import C_OF_ONE_GROUP, STRENGTHS, fit_logistic
from rmlab.heads.linear import Linear
from rmlab.losses.pairs import BradleyTerry


def preferences(n=300, d=7, seed=0):
    """x [2n, d], items [n, 2]: noisy preferences along a direction, features of unlike size."""
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(2 * n, d)) * np.logspace(-1, 1, d) + 3).astype(np.float32)
    items = np.arange(2 * n).reshape(n, 2)
    margin = (x[items[:, 0]] - x[items[:, 1]]) @ (rng.normal(size=d) / np.logspace(-1, 1, d))
    wrong = rng.random(n) > 1 / (1 + np.exp(-np.abs(margin)))
    return x, np.where((margin < 0)[:, None] ^ wrong[:, None], items[:, ::-1], items)


def groups_of(n: int, size: int = 3) -> np.ndarray:
    return np.arange(n) // size


def standardised_differences(x: np.ndarray, items: np.ndarray) -> np.ndarray:
    scale = x[np.unique(items)].astype(np.float64).std(axis=0)
    return (x[items[:, 0]].astype(np.float64) - x[items[:, 1]]) / scale


@pytest.mark.parametrize("c", [0.03, 1.0])
def test_linear_bradley_terry_at_the_same_strength_has_the_same_weights(c):
    x, items = preferences()
    baseline = fit_logistic(x, items, groups_of(len(items)), [c]).head
    l2 = 1 / (2 * len(items) * c)
    data = FitData(x, Comparisons(items, items[:, 0]), Comparisons(items[:0], items[:0, 0]))
    head, log = Linear(l2=l2, tolerance=1e-9).fit(data, BradleyTerry(), seed=0)
    assert log.converged
    largest = np.abs(head.weight).max()
    np.testing.assert_allclose(baseline.weight, head.weight, atol=2e-3 * largest)
    mine, theirs = (h.raw(x)[items] for h in (head, baseline))
    assert ((mine[:, 0] > mine[:, 1]) == (theirs[:, 0] > theirs[:, 1])).mean() > 0.99


def test_at_one_strength_it_is_scikit_learn_on_mirrored_differences():
    x, items = preferences(seed=1)
    d = standardised_differences(x, items)
    model = LogisticRegression(C=0.1, fit_intercept=False, max_iter=1000)
    model.fit(np.concatenate([d, -d]), np.repeat([1, 0], len(d)))
    scores = fit_logistic(x, items, groups_of(len(items)), [0.1]).head.raw(x)
    np.testing.assert_allclose(
        scores[items[:, 0]] - scores[items[:, 1]], d @ model.coef_[0], rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_strength_is_that_of_a_search_over_folds_of_groups(seed):
    """GridSearchCV, whose folds are told the groups, fits each strength from zero."""
    x, items = preferences(n=90, d=30, seed=seed)
    group = groups_of(len(items))
    d = standardised_differences(x, items)
    search = GridSearchCV(
        LogisticRegression(fit_intercept=False, max_iter=1000, tol=1e-6),
        {"C": list(STRENGTHS)},
        scoring="neg_log_loss",
        cv=GroupKFold(5),
    )
    search.fit(np.concatenate([d, -d]), np.repeat([1, 0], len(d)), groups=np.tile(group, 2))
    found = fit_logistic(x, items, group)
    assert found.converged and found.c == pytest.approx(search.best_params_["C"])
    assert min(STRENGTHS) < found.c < max(STRENGTHS)
    margin = np.subtract(*found.head.raw(x)[items].T)
    by_hand = d @ search.best_estimator_.coef_[0]
    np.testing.assert_allclose(margin, by_hand, atol=2e-3 * np.abs(by_hand).max())


def test_pairs_of_one_group_and_their_mirror_images_share_a_fold():
    """Each pair of a group says the same: seen in training, it would be known in validation, however weak the
    penalty. Held out by groups, there is nothing to learn, and a strong penalty is the best."""
    rng = np.random.default_rng(3)
    x = np.repeat(rng.normal(size=(60, 2, 40)), 6, axis=0).reshape(-1, 40).astype(np.float32)
    items = np.arange(len(x)).reshape(-1, 2)
    grouped = fit_logistic(x, items, groups_of(len(items), 6))
    alone = fit_logistic(x, items, np.arange(len(items)))
    assert grouped.c <= 1e-3 and alone.c >= 1


def test_twice_is_the_same_and_one_group_needs_no_choice():
    x, items = preferences()
    one, two = (fit_logistic(x, items, groups_of(len(items))) for _ in range(2))
    assert one.c == two.c and (one.head.weight == two.head.weight).all()
    assert fit_logistic(x, items, np.zeros(len(items), dtype=int)).c == C_OF_ONE_GROUP
    assert fit_logistic(x, items, groups_of(len(items), 150)).converged


def test_a_fit_that_stops_early_says_so(monkeypatch):
    x, items = preferences()
    group = groups_of(len(items))
    assert fit_logistic(x, items, group).converged
    monkeypatch.setattr("rmlab.heads.baselines.ITERATIONS", 1)
    assert not fit_logistic(x, items, group).converged
