from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from rmlab.noise.crowd import fleiss_kappa, pairwise_agreement

# 10 subjects, 14 raters, 5 categories: the well-known worked example, P = 0.378, E = 0.213, kappa = 0.210.
EXAMPLE = np.array(
    [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
)


def test_worked_example():
    assert pairwise_agreement(EXAMPLE) == pytest.approx(0.378, abs=5e-4)
    assert fleiss_kappa(EXAMPLE) == pytest.approx(0.210, abs=5e-4)


@given(st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=5), min_size=1, max_size=6))
def test_agreement_is_the_share_of_agreeing_pairs_of_annotators(answers):
    votes = np.array([[row.count(j) for j in range(3)] for row in answers])
    per_row = [np.mean([a == b for a, b in itertools.combinations(row, 2)]) for row in answers]
    assert pairwise_agreement(votes) == pytest.approx(np.mean(per_row))


def test_two_annotators_with_the_same_shares_have_cohens_kappa():
    """With equal marginals the two kappas are one: every table is paired with its mirror image."""
    rng = np.random.default_rng(0)
    a = rng.integers(0, 3, 200)
    b = np.where(rng.random(200) < 0.6, a, rng.integers(0, 3, 200))
    one, two = np.concatenate([a, b]), np.concatenate([b, a])
    votes = np.eye(3, dtype=int)[one] + np.eye(3, dtype=int)[two]
    assert fleiss_kappa(votes) == pytest.approx(cohen_kappa_score(one, two))


def test_full_agreement_and_agreement_by_chance():
    assert fleiss_kappa(np.array([[3, 0], [0, 3]])) == 1
    votes = np.random.default_rng(0).multinomial(4, [0.7, 0.3], 20_000)
    assert fleiss_kappa(votes) == pytest.approx(0, abs=0.02)


def test_rows_with_one_vote_do_not_count():
    some = np.array([[2, 1], [0, 3], [2, 0]])
    more = np.vstack([some, [[1, 0], [0, 0]]])
    assert pairwise_agreement(more) == pairwise_agreement(some)
    assert fleiss_kappa(more) == fleiss_kappa(some)


@pytest.mark.parametrize("votes", [[[1, 0], [0, 1]], [[3, 0], [2, 0]], np.zeros((0, 2))])
def test_kappa_is_undefined_without_two_votes_or_two_categories(votes):
    assert math.isnan(fleiss_kappa(np.array(votes)))


def test_agreement_is_undefined_without_two_votes():
    assert math.isnan(pairwise_agreement(np.array([[1, 0], [0, 1]])))
    assert pairwise_agreement(np.array([[3, 0]])) == 1
