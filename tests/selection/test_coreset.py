from __future__ import annotations

import itertools

import numpy as np
import pytest

from rmlab.selection.base import Candidates
from rmlab.selection.designs import Coreset


def make(z: np.ndarray, past_z: np.ndarray) -> Candidates:
    return Candidates(z, np.zeros(len(z)), past_z, np.zeros(len(past_z)))


def distances(z: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """[c, b], by the definition."""
    minus = np.linalg.norm(z[:, None] - centres[None], axis=2)
    plus = np.linalg.norm(z[:, None] + centres[None], axis=2)
    return np.minimum(minus, plus)


def brute_force(z: np.ndarray, past_z: np.ndarray, n: int, first: int | None) -> list[int]:
    rows = [] if first is None else [first]
    while len(rows) < n:
        nearest = distances(z, np.concatenate([past_z, z[rows]])).min(axis=1)
        nearest[rows] = -1
        rows.append(int(np.argmax(nearest)))
    return rows


def radius(z: np.ndarray, past_z: np.ndarray, rows: list[int] | tuple[int, ...]) -> float:
    return float(distances(z, np.concatenate([past_z, z[list(rows)]])).min(axis=1).max())


@pytest.mark.parametrize("p", [0, 1, 20])
@pytest.mark.parametrize(("c", "f"), [(60, 3), (30, 50), (25, 1)])
def test_equals_greedy_by_the_definition(c, f, p):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        z, past_z = rng.normal(size=(c, f)), rng.normal(size=(p, f))
        made = Coreset()(make(z, past_z), 20, np.random.default_rng(seed)).tolist()
        assert made == brute_force(z, past_z, 20, None if p else made[0])


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    candidates = make(rng.normal(size=(40, 5)), rng.normal(size=(33, 5)))
    whole = Coreset()(candidates, 20, np.random.default_rng(0))
    monkeypatch.setattr("rmlab.selection.designs.CELLS", 90)
    np.testing.assert_array_equal(Coreset()(candidates, 20, np.random.default_rng(0)), whole)


@pytest.mark.parametrize("p", [0, 2])
def test_radius_is_at_most_twice_the_best(p):
    worst = 1.0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        z, past_z = rng.normal(size=(9, 2)), rng.normal(size=(p, 2))
        made = radius(z, past_z, Coreset()(make(z, past_z), 3, rng).tolist())
        best = min(radius(z, past_z, rows) for rows in itertools.combinations(range(9), 3))
        worst = max(worst, made / best)
    assert 1.0 < worst <= 2.0  # greedy is not the best, but within the bound


def test_a_pair_in_the_other_order_is_the_same_place():
    z = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.5], [0.9, 0.0]])
    made = Coreset()(make(z, z[:1]), 4, np.random.default_rng(0)).tolist()
    assert made[:2] == [2, 3]  # then the annotated pair itself, and the same one turned round


def test_without_annotated_comparisons_the_first_is_any():
    candidates = make(np.random.default_rng(0).normal(size=(6, 3)), np.empty((0, 3)))
    first = [int(Coreset()(candidates, 1, np.random.default_rng(seed))[0]) for seed in range(1200)]
    assert np.abs(np.bincount(first, minlength=6) - 200).max() < 55
