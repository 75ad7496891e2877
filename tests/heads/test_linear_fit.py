"""The linear head against scikit-learn, choix and finite differences."""

from __future__ import annotations

import choix
import numpy as np
import pytest
import torch
from scipy.optimize import approx_fprime
from sklearn.linear_model import LogisticRegression

from rmlab.comparisons import Comparisons
from rmlab.heads.base import FitData, mean_loss
from rmlab.heads.design import is_shift_invariant, make_design
from rmlab.heads.fitted.base import Standardiser
from rmlab.heads.linear import Linear
from rmlab.heads.solve import LinearProblem, objective
from rmlab.losses.pairs import BradleyTerry, Classification


def first_of_k(scores: torch.Tensor, comparisons: Comparisons) -> torch.Tensor:
    """-log softmax at the first item, for any K."""
    return -torch.log_softmax(scores, dim=1)[:, 0]


def held_out_loss(head, world) -> float:
    scores = torch.from_numpy(head.score(world.data.x)[world.test])
    return float(-torch.nn.functional.logsigmoid(scores[:, 0] - scores[:, 1]).mean())


def test_classification_equals_scikit_learn(linear_world, compare):
    x, items, l2 = linear_world.data.x, linear_world.data.train.items, 0.03
    weight = np.random.default_rng(0).uniform(0.2, 3.0, len(items))
    data = FitData(x, compare(items, weight=weight), linear_world.data.validation)
    head, log = Linear(l2=l2, tolerance=1e-9, standardise=False).fit(data, Classification(), 0)

    oracle = LogisticRegression(C=1 / (l2 * weight.sum()), tol=1e-10, max_iter=10_000)
    label = np.repeat([1, 0], len(items))
    oracle.fit(x[items.T.ravel()].astype(np.float64), label, sample_weight=np.tile(weight, 2))
    assert log.converged
    np.testing.assert_allclose(head.weight, oracle.coef_[0], atol=1e-4)
    assert head.intercept == pytest.approx(oracle.intercept_[0], abs=1e-4)
    assert abs(head.intercept) > 0.1
    np.testing.assert_allclose(head.score(x), oracle.decision_function(x), atol=1e-4)


def test_bradley_terry_on_one_hot_equals_choix(compare):
    rng = np.random.default_rng(1)
    strength = rng.normal(size=8)
    pair = np.array([rng.choice(8, 2, replace=False) for _ in range(600)])
    lost = rng.random(600) > 1 / (1 + np.exp(strength[pair[:, 1]] - strength[pair[:, 0]]))
    items = np.where(lost[:, None], pair[:, ::-1], pair)
    data = FitData(np.eye(8, dtype=np.float32), compare(items), compare(items[:0]))
    head, log = Linear(l2=0.0, tolerance=1e-9, standardise=False).fit(data, BradleyTerry(), 0)
    scores = head.score(data.x)
    assert log.converged
    np.testing.assert_allclose(scores - scores.mean(), choix.ilsr_pairwise(8, items), atol=1e-5)
    assert head.intercept == 0.0


@pytest.mark.parametrize(("loss", "k"), [(BradleyTerry(), 2), (Classification(), 2), (first_of_k, 4)])
def test_gradient_equals_finite_differences(loss, k, compare):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(9, 3)).astype(np.float32)
    items = np.array([rng.choice(9, k, replace=False) for _ in range(30)])  # rows come up many times
    comparisons = compare(items, weight=rng.uniform(0, 2, 30))
    shifts = is_shift_invariant(loss, comparisons)
    assert shifts == (not isinstance(loss, Classification))
    design = make_design(x, comparisons, Standardiser.fit(x, items), shifts)
    p = design.x.shape[1]
    penalty = torch.full((p,), 0.7, dtype=torch.float64)
    at = rng.normal(size=p)
    _, gradient = objective(torch.from_numpy(at), LinearProblem(design, loss, penalty))
    numeric = approx_fprime(
        at, lambda w: objective(torch.from_numpy(w), LinearProblem(design, loss, penalty))[0], 1e-7
    )
    np.testing.assert_allclose(gradient, numeric, atol=1e-5)


def test_l2_chosen_on_validation_beats_the_worst(world):
    noisy = world(lambda z: z[:, 0] + z[:, 1], d=40, train=120, validation=150, noise=0.1)
    grid = [1e-4, 1e-1, 1e2]
    head, log = Linear(l2=grid).fit(noisy.data, BradleyTerry(), 0)
    alone = {l2: Linear(l2=l2).fit(noisy.data, BradleyTerry(), 0)[0] for l2 in grid}
    losses = {l2: held_out_loss(one, noisy) for l2, one in alone.items()}
    assert log.chosen["l2"] == 1e-1
    assert held_out_loss(head, noisy) < max(losses.values()) - 0.1
    # A warm start changes the way, not the optimum.
    np.testing.assert_allclose(head.weight, alone[1e-1].weight, atol=1e-4)
    validation = [row["loss"] for row in log.rows if row["split"] == "validation"]
    by_hand = [
        mean_loss(
            BradleyTerry(),
            torch.from_numpy(alone[l2].score(noisy.data.x)[noisy.data.validation.items]),
            noisy.data.validation,
        )
        for l2 in sorted(grid, reverse=True)
    ]
    np.testing.assert_allclose(validation, by_hand, atol=1e-4)


def test_weight_two_is_the_comparison_twice(linear_world, compare):
    items = linear_world.data.train.items[:50]
    twice = np.vstack([items, items[:10]])
    weight = np.where(np.arange(50) < 10, 2.0, 1.0)
    fitter, x, none = Linear(l2=0.1, tolerance=1e-9), linear_world.data.x, compare(items[:0])
    weighted, _ = fitter.fit(FitData(x, compare(items, weight=weight), none), BradleyTerry(), 0)
    repeated, _ = fitter.fit(FitData(x, compare(twice), none), BradleyTerry(), 0)
    plain, _ = fitter.fit(FitData(x, compare(items), none), BradleyTerry(), 0)
    np.testing.assert_allclose(weighted.weight, repeated.weight, atol=1e-6)
    assert np.abs(weighted.weight - plain.weight).max() > 1e-3


def test_says_when_it_did_not_converge(linear_world):
    _, log = Linear(l2=1e-4, max_iterations=2).fit(linear_world.data, Classification(), 0)
    assert not log.converged
    assert "raise head.max_iterations" in log.message
    _, log = Linear(l2=0.1).fit(linear_world.data, Classification(), 0)
    assert log.converged
    assert log.message == ""


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ([1.0, 10.0], "l2=1 is the smallest of head.l2; give smaller ones"),
        ([1e-6, 1e-5], "l2=1e-05 is the largest of head.l2; give larger ones"),
        ([1e-4, 1e-1, 1e2], ""),
        ([1.0], ""),
        ([1.0, 1.0], ""),
    ],
)
def test_a_choice_at_an_end_of_the_grid_is_noted_though_converged(world, grid, said):
    noisy = world(lambda z: z[:, 0] + z[:, 1], d=40, train=120, validation=150, noise=0.1)
    _, log = Linear(l2=grid).fit(noisy.data, BradleyTerry(), 0)
    assert log.converged and log.message == ""
    assert log.said == said


def test_no_penalty_has_no_smaller_one(world):
    clean = world(lambda z: z[:, 0], d=2, train=400, validation=400, noise=0.3)
    _, log = Linear(l2=[0.0, 1e3]).fit(clean.data, BradleyTerry(), 0)
    assert log.chosen["l2"] == 0.0 and log.said == ""


def test_the_path_is_not_stopped_where_the_penalty_leaves_no_head(world):
    """Validation comparisons against the training ones: every weight makes their loss worse."""
    found = world(lambda z: z[:, 0] + z[:, 1], d=20, train=400, validation=400, noise=0.0)
    items = found.data.validation.items
    opposed = Comparisons(items[:, ::-1], found.data.validation.group)
    data = FitData(found.data.x, found.data.train, opposed)
    strongest = [1e9, 1e8, 1e7, 1e6, 1e5, 1e4]
    for patience, tried in ((1, 7), (2, 8), (None, 11)):
        grid = [*strongest, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3]
        _, log = Linear(l2=grid, patience=patience).fit(data, BradleyTerry(), 0)
        rows = [row for row in log.rows if row["split"] == "validation"]
        assert log.chosen["l2"] == 1e9
        assert len(rows) == tried


def test_thread_counts_are_given_back(linear_world):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        Linear(l2=0.1).fit(linear_world.data, BradleyTerry(), 0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
