"""What a linear head sees of comparisons: two ways to the same losses and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rmlab.heads.design import make_design
from rmlab.heads.fitted.base import Standardiser
from rmlab.heads.solve import LinearProblem, objective
from rmlab.losses.lists import PlackettLuce
from rmlab.losses.pairs import BradleyTerry, Classification, Hinge
from rmlab.losses.robust import RobustBtl


def pool(n: int, k: int, compare, m: int = 40, d: int = 6):
    """Embeddings far from 0 and comparisons in which rows come up many times, with unlike weights."""
    rng = np.random.default_rng(1)
    x = (rng.normal(size=(m, d)) * np.linspace(0.2, 5, d) + 30).astype(np.float32)
    items = np.array([rng.choice(m, k, replace=False) for _ in range(n)])
    return x, compare(items, weight=rng.uniform(0.1, 3.0, n))


def at_random(design, loss, l2: float = 0.3, seed: int = 2) -> tuple[float, np.ndarray, np.ndarray]:
    """Loss, gradient and scores at random weights, the same for both designs."""
    p = design.x.shape[1]
    w = torch.from_numpy(np.random.default_rng(seed).normal(size=6))
    w = torch.cat([w, torch.tensor([0.7], dtype=torch.float64)])[:p]
    penalty = torch.full((p,), l2, dtype=torch.float64)
    penalty[6:] = 0.0
    value, gradient = objective(w, LinearProblem(design, loss, penalty))
    return value, gradient.numpy(), design.scores(design.x @ w).numpy()


@pytest.mark.parametrize("loss", [BradleyTerry(), RobustBtl(), Hinge()], ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("standardise", [True, False])
def test_differences_equal_rows_in_value_and_gradient(loss, standardise, compare):
    x, comparisons = pool(200, 2, compare)
    standardiser = Standardiser.of(x, comparisons.items, standardise)
    pairs, rows = (make_design(x, comparisons, standardiser, shifts) for shifts in (True, False))
    assert pairs.items is None and len(pairs.x) == 200 and not pairs.has_intercept
    assert rows.items is not None and len(rows.x) == 40 and rows.has_intercept
    (value, gradient, s), (by_rows, full, t) = (at_random(design, loss) for design in (pairs, rows))
    assert value == pytest.approx(by_rows, rel=1e-12)
    np.testing.assert_allclose(gradient, full[:6], rtol=1e-9, atol=1e-9)
    assert full[6] == pytest.approx(0.0, abs=1e-12)  # a shift of all scores changes nothing
    np.testing.assert_allclose(s[:, 0] - s[:, 1], t[:, 0] - t[:, 1], atol=1e-9)
    assert pairs.loss(torch.zeros(6, dtype=torch.float64), loss) == pytest.approx(
        rows.loss(torch.zeros(7, dtype=torch.float64), loss)
    )


@pytest.mark.parametrize(
    ("loss", "k", "shifts"),
    [(Classification(), 2, False), (PlackettLuce(), 4, True), (BradleyTerry(), 2, True)],
)
def test_scores_are_those_of_the_embeddings(loss, k, shifts, compare):
    x, comparisons = pool(60, k, compare)
    standardiser = Standardiser.fit(x, comparisons.items)
    design = make_design(x, comparisons, standardiser, shifts)
    _, _, scores = at_random(design, loss)
    w = np.random.default_rng(2).normal(size=6)
    by_hand = (standardiser.apply(x, np.float64) @ w)[comparisons.items] + 0.7 * (not shifts)
    if design.items is None:
        by_hand = by_hand - by_hand[:, 1:]
    np.testing.assert_allclose(scores, by_hand, atol=1e-9)


@pytest.mark.parametrize(("k", "shifts"), [(2, True), (2, False), (1, False), (4, True)])
def test_pulling_back_is_the_transpose_of_scoring(k, shifts, compare):
    x, comparisons = pool(50, k, compare)
    design = make_design(x, comparisons, Standardiser.identity(6), shifts)
    rng = np.random.default_rng(3)
    values, by_score = (
        torch.from_numpy(rng.normal(size=len(design.x))),
        torch.from_numpy(rng.normal(size=(50, k))),
    )
    if design.items is None:
        by_score[:, 1] = -by_score[:, 0]  # the gradient of a loss of differences
        forward = (values * by_score[:, 0]).sum()
    else:
        forward = (design.scores(values) * by_score).sum()
    assert float(forward) == pytest.approx(float(values @ design.pull_back(by_score)))


@pytest.mark.parametrize(("k", "shifts"), [(2, True), (2, False), (3, True)])
def test_the_gram_matrix_is_the_weighted_mean_of_outer_products(k, shifts, compare):
    x, comparisons = pool(50, k, compare)
    design = make_design(x, comparisons, Standardiser.fit(x, comparisons.items), shifts)
    rows, weight = design.x.numpy(), comparisons.weight / comparisons.weight.sum()
    places = np.arange(50)[:, None] if design.items is None else design.items.numpy()
    by_hand = sum(weight[i] * np.outer(rows[j], rows[j]) for i in range(50) for j in places[i])
    np.testing.assert_allclose(design.gram.numpy(), by_hand, rtol=1e-4, atol=1e-5)


def test_many_rows_come_in_blocks(compare):
    """More rows than are standardised at once."""
    rng = np.random.default_rng(4)
    x = (rng.normal(size=(20_000, 2)) + 5).astype(np.float32)
    comparisons = compare(np.arange(20_000).reshape(-1, 2))
    standardiser = Standardiser.fit(x, comparisons.items)
    pairs, rows = (make_design(x, comparisons, standardiser, shifts) for shifts in (True, False))
    z = standardiser.apply(x, np.float64)
    np.testing.assert_allclose(rows.x[:, :2].numpy(), z)
    np.testing.assert_allclose(pairs.x.numpy(), z[::2] - z[1::2], atol=1e-9)
    np.testing.assert_allclose(rows.gram.numpy()[:2, :2], z.T @ z / 10_000, atol=1e-3)


def test_only_rows_that_are_compared_are_kept(compare):
    x = np.arange(20, dtype=np.float32).reshape(10, 2)
    design = make_design(x, compare(np.array([[7, 2], [2, 5]])), Standardiser.identity(2), shifts=False)
    np.testing.assert_array_equal(design.x.numpy(), [[4, 5, 1], [10, 11, 1], [14, 15, 1]])
    np.testing.assert_array_equal(design.items.numpy(), [[2, 0], [0, 1]])
