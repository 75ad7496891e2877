from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import expit

from rmlab.errors import InputError
from rmlab.selection.base import Candidates
from rmlab.selection.designs import DOptimal


def make(c: int, f: int, p: int, seed: int, scale: float = 1.0) -> Candidates:
    rng = np.random.default_rng(seed)
    z, past_z = rng.normal(size=(c, f)) * scale, rng.normal(size=(p, f)) * scale
    return Candidates(z, rng.normal(scale=2, size=c), past_z, rng.normal(scale=2, size=p))


def information(z: np.ndarray, margin: np.ndarray) -> np.ndarray:
    p = expit(margin)
    return sum((v * np.outer(x, x) for x, v in zip(z, p * (1 - p))), np.zeros((z.shape[1],) * 2))


def prior(candidates: Candidates, past: bool, ridge: float) -> np.ndarray:
    start = ridge * np.eye(candidates.z.shape[1])
    return start + information(candidates.past_z, candidates.past_margin) if past else start


def log_det(candidates: Candidates, rows: list[int], past: bool, ridge: float) -> float:
    chosen = information(candidates.z[rows], candidates.margin[rows])
    return float(np.linalg.slogdet(prior(candidates, past, ridge) + chosen)[1])


def brute_force(candidates: Candidates, n: int, past: bool, ridge: float) -> list[int]:
    rows: list[int] = []
    for _ in range(n):
        left = [i for i in range(len(candidates)) if i not in rows]
        rows.append(max(left, key=lambda i: log_det(candidates, [*rows, i], past, ridge)))
    return rows


def select(candidates: Candidates, n: int, past: bool = False, ridge: float = 1.0) -> list[int]:
    return DOptimal(past, ridge)(candidates, n, np.random.default_rng(0)).tolist()


@pytest.mark.parametrize("past", [False, True])
@pytest.mark.parametrize("ridge", [0.01, 1.0, 30.0])
@pytest.mark.parametrize(("c", "f", "p", "n"), [(25, 4, 7, 25), (12, 20, 3, 8), (15, 1, 0, 10)])
def test_equals_greedy_by_the_definition(c, f, p, n, ridge, past):
    for seed in range(2):
        candidates = make(c, f, p, seed)
        assert select(candidates, n, past, ridge) == brute_force(candidates, n, past, ridge)


@pytest.mark.parametrize("past", [False, True])
def test_large_features_lose_no_information(past):
    candidates = make(30, 6, 4, 0, scale=1e4)
    best = log_det(candidates, brute_force(candidates, 12, past, 1.0), past, 1.0)
    assert log_det(candidates, select(candidates, 12, past), past, 1.0) == pytest.approx(best, abs=1e-6)


def test_first_choice_is_the_largest_gain():
    candidates = make(50, 8, 10, 2)
    v = expit(candidates.margin) * expit(-candidates.margin)
    blind = v * np.square(candidates.z).sum(axis=1)
    assert select(candidates, 1) == [int(np.argmax(blind))]
    inverse = np.linalg.inv(prior(candidates, True, 1.0))
    aware = v * np.einsum("if,fg,ig->i", candidates.z, inverse, candidates.z)
    assert select(candidates, 1, past=True) == [int(np.argmax(aware))]
    assert np.argmax(aware) != np.argmax(blind)


def test_what_is_annotated_is_not_asked_again():
    z, past_z = np.array([[3.0, 0.0], [0.0, 1.0]]), np.array([[20.0, 0.0]])
    candidates = Candidates(z, np.zeros(2), past_z, np.zeros(1))
    assert select(candidates, 2, past=False) == [0, 1]  # gains 9/4 and 1/4
    assert select(candidates, 2, past=True) == [1, 0]  # gains 9/4 / (1 + 400/4) and 1/4


def test_a_copy_of_a_chosen_one_is_not_chosen_next():
    z = np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 2.0]])
    margin = np.zeros(3)
    rows = select(Candidates(z, margin, np.empty((0, 2)), np.empty(0)), 3)
    assert rows[1] == 2  # gain 1, while the copy's is now 2.25 / 3.25


def test_sure_answers_tell_less():
    z = np.ones((3, 2))
    candidates = Candidates(z, np.array([4.0, -1.0, 2.0]), np.empty((0, 2)), np.empty(0))
    assert select(candidates, 3) == [1, 2, 0]


@pytest.mark.parametrize("past", [False, True])
def test_tells_more_than_random_choices(past):
    candidates = make(200, 10, 20, 5)
    made = log_det(candidates, select(candidates, 20, past), past, 1.0)
    rng = np.random.default_rng(0)
    random = [log_det(candidates, rng.permutation(200)[:20].tolist(), past, 1.0) for _ in range(50)]
    assert made > max(random)


@pytest.mark.parametrize("past", [False, True])
def test_gain_is_near_the_best_of_all_sets(past):
    for seed in range(5):
        candidates = make(9, 2, 2, seed)
        start = log_det(candidates, [], past, 1.0)
        made = log_det(candidates, select(candidates, 3, past), past, 1.0) - start
        sets = itertools.combinations(range(9), 3)
        best = max(log_det(candidates, list(rows), past, 1.0) for rows in sets) - start
        assert (1 - 1 / np.e) * best <= made <= best + 1e-12


def test_past_without_annotated_comparisons_changes_nothing():
    candidates = make(40, 5, 0, 0)
    assert select(candidates, 30, past=True, ridge=0.3) == select(candidates, 30, past=False, ridge=0.3)


@pytest.mark.parametrize("ridge", [0.0, -1.0, np.inf, np.nan])
def test_ridge_that_cannot_be_used_is_refused(ridge):
    with pytest.raises(ValueError, match="use a number > 0"):
        DOptimal(ridge=ridge)


@pytest.mark.parametrize(
    ("past", "scale", "ridge"),
    [(True, 1e30, 1.0), (False, 1e9, 1.0), (False, 1e60, 1e-300), (True, 1.0, 1e-17)],
)
def test_ridge_lost_beside_the_features_is_refused(past, scale, ridge):
    for seed in range(10):
        with pytest.raises(InputError, match="raise selection.ridge") as found:
            select(make(8, 6, 3, seed, scale), 4, past, ridge)
        assert "\n" not in str(found.value)
