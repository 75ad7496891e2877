"""Held-out pairs of responses, against a double loop."""

from itertools import combinations

import numpy as np
import pytest

from rmlab.errors import InputError
from rmlab.evaluation.heldout import HeldOutPairs
from rmlab.responses.table import Responses


def responses(golden, group):
    group = np.array(group)
    return Responses(np.arange(len(group)).astype(str), group.astype(str), np.array(golden, float), group)


def test_every_pair_of_a_prompt_with_a_preferred_answer_is_there_once():
    rng = np.random.default_rng(0)
    group = rng.integers(0, 9, 40)
    r = responses(rng.integers(0, 3, 40), group)
    mask = rng.random(40) < 0.8
    pairs = HeldOutPairs.among(r, mask)
    every = [(i, j) for i, j in combinations(np.flatnonzero(mask), 2) if group[i] == group[j]]
    untied = [(i, j) for i, j in every if r.golden[i] != r.golden[j]]
    assert sorted(zip(pairs.first, pairs.second, strict=True)) == untied
    assert pairs.n_ties == len(every) - len(untied) > 0
    assert (r.golden[pairs.items[:, 0]] > r.golden[pairs.items[:, 1]]).all()
    np.testing.assert_array_equal(pairs.margins(r.golden) > 0, True)
    assert 0.2 < pairs.first_wins.mean() < 0.8


def test_too_many_are_drawn_from(monkeypatch):
    monkeypatch.setattr("rmlab.evaluation.heldout.MAX_PAIRS", 50)
    pairs = HeldOutPairs.among(responses(np.arange(30), [0] * 30), np.ones(30, dtype=bool))
    assert len(pairs) == len({*zip(pairs.first, pairs.second, strict=True)}) == 50


@pytest.mark.parametrize(("golden", "group"), [([1, 1, 2], [0, 0, 1]), ([1, 2], [0, 1])])
def test_no_preference_at_all_is_refused(golden, group):
    with pytest.raises(InputError, match="no two answers to a prompt differ"):
        HeldOutPairs.among(responses(golden, group), np.ones(len(golden), dtype=bool))
