"""Trees grown on the Bradley-Terry loss of pairs: its derivatives, its optimum, its leaves by hand."""

from __future__ import annotations

from dataclasses import replace

import choix
import numpy as np
import pytest

from rmlab.heads.base import FitData
from rmlab.heads.fitted.load import load_head
from rmlab.heads.trees import PairLoss, Trees
from rmlab.losses.pairs import BradleyTerry

FULL = Trees(
    n_estimators=400, learning_rate=0.3, num_leaves=8, min_child_samples=1, feature_fraction=1.0, l2=0.0,
    early_stopping_rounds=0,
)  # fmt: skip


@pytest.fixture
def tournament(compare):
    """Six players, each with 10 responses that look alike; who wins is drawn by their strengths."""
    rng = np.random.default_rng(3)
    strength = np.linspace(-1.0, 1.0, 6)
    player = np.repeat(np.arange(6), 10)
    items = np.array([rng.choice(6, size=2, replace=False) * 10 for _ in range(500)])
    items += rng.integers(10, size=items.shape)
    won = rng.random(500) < 1 / (1 + np.exp(-np.diff(strength[player[items]], axis=1)[:, 0] * -1))
    items = np.where(won[:, None], items, items[:, ::-1])
    weight = rng.integers(1, 3, size=500).astype(float)
    return np.eye(6, dtype=np.float32)[player], player, compare(items, weight=weight)


def test_the_derivatives_are_those_of_finite_differences(tournament):
    pairs = PairLoss.of(tournament[2].take(np.arange(30)))
    scores, step = np.random.default_rng(0).normal(size=len(pairs.rows)), 1e-4
    total = pairs.weight.sum()

    def loss(moved: np.ndarray) -> float:
        return pairs.loss(moved) * total

    gradient, bound = pairs.derivatives(scores)
    eye = np.eye(len(scores)) * step
    by_steps = np.array([(loss(scores + e) - loss(scores - e)) / (2 * step) for e in eye])
    np.testing.assert_allclose(gradient, by_steps, atol=1e-6)
    hessian = np.array(
        [(pairs.derivatives(scores + e)[0] - pairs.derivatives(scores - e)[0]) / (2 * step) for e in eye]
    )
    np.testing.assert_allclose(bound, 2 * np.diag(hessian), atol=1e-6)
    assert np.linalg.eigvalsh(np.diag(bound) - hessian).min() > -1e-6, "a bound from above"


def test_the_optimum_is_that_of_choix(tournament):
    x, player, train = tournament
    head, _ = FULL.fit(FitData(x, train, train.take(np.arange(0))), BradleyTerry(), 0)
    wins = [
        tuple(pair) for pair, w in zip(player[train.items], train.weight, strict=True) for _ in range(int(w))
    ]
    oracle = choix.opt_pairwise(6, wins, alpha=0.0)
    found = head.raw(np.eye(6, dtype=np.float32))
    np.testing.assert_allclose(found - found.mean(), oracle - oracle.mean(), atol=1e-3)


def test_the_leaves_of_the_first_tree_by_hand(compare):
    """From scores of 0 each pair adds -+1/2 to the gradient and 2/4 to the bound: leaf = -rate G / (H + l2)."""
    x = np.repeat([0.0, 1.0], 4).astype(np.float32)[:, None]
    # Those of feature 1 win five times of six between the two, and once among themselves.
    train = compare(np.array([[4, 0], [5, 1], [6, 2], [7, 3], [4, 1], [0, 5], [6, 7]]))
    fitter = replace(FULL, n_estimators=1, num_leaves=2, l2=1.0, learning_rate=0.5)
    head, _ = fitter.fit(FitData(x, train, train.take(np.arange(0))), BradleyTerry(), 0)
    # G of feature 1: -5/2 + 1/2, H: 6/2 of the pairs between the two and 2/2 of the pair among themselves.
    np.testing.assert_allclose(head.raw(x)[[0, 4]], [-0.5 * 2 / (3 + 1), 0.5 * 2 / (4 + 1)], rtol=1e-6)


def test_stops_at_the_lowest_validation_loss_of_pairs_and_is_saved_to_the_same_bits(linear_world, tmp_path):
    data = linear_world.data
    fitter = Trees(learning_rate=0.3, num_leaves=7, early_stopping_rounds=5)
    head, log = fitter.fit(data, BradleyTerry(), 0)
    losses = [row["loss"] for row in log.rows if row["split"] == "validation"]
    assert log.chosen["n_estimators"] == 1 + int(np.argmin(losses)) == len(losses) - 5
    pairs = PairLoss.of(data.validation)
    assert pairs.loss(head.raw(data.x)[pairs.rows]) == pytest.approx(min(losses), abs=1e-6)
    assert linear_world.accuracy(head) > 0.8
    head.save(tmp_path)
    assert load_head(tmp_path).raw(data.x).tobytes() == head.raw(data.x).tobytes()
    _, stuck = replace(fitter, min_child_samples=10_000).fit(data, BradleyTerry(), 0)
    assert "lower min_child_samples" in stuck.message
