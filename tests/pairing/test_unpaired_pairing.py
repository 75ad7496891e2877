from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmlab.comparisons import Pool
from rmlab.errors import InputError
from rmlab.pairing.within_prompt import Unpaired


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_responses_are_distinct_and_spread_evenly(sizes, share, seed):
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    pool = Pool(np.zeros(len(group)), group)
    n = 1 + int(share * (len(pool) - 1))
    made = Unpaired()(pool, n, rng)
    assert made.kind == "unpaired"
    assert made.items.shape == (n, 1) and made.items.dtype == np.int64
    assert len(np.unique(made.items)) == n
    np.testing.assert_array_equal(made.group, group[made.items[:, 0]])
    for rows in (n, (n + 1) // 2):
        count = np.bincount(made.group[:rows], minlength=len(sizes))
        assert (count[count < sizes] >= count.max() - 1).all()


@pytest.mark.parametrize("n", [2, 5])
def test_each_response_is_drawn_equally_often(n):
    pool = Pool(np.zeros(6 * 1800), np.repeat(np.arange(1800), 6))
    drawn = Unpaired()(pool, n * 1800, np.random.default_rng(0)).items[:, 0] % 6
    expected = 1800 * n / 6
    assert np.abs(np.bincount(drawn, minlength=6) - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.parametrize(("n", "message"), [(0, "at least 1"), (5, "only 4 distinct responses")])
def test_budgets_beyond_the_pool_are_refused(n, message):
    pool = Pool(np.zeros(4), np.arange(4))
    assert Unpaired().capacity(pool) == 4
    with pytest.raises(InputError, match=message):
        Unpaired()(pool, n, np.random.default_rng(0))


def test_an_empty_pool_is_refused():
    with pytest.raises(InputError, match="only 0 distinct"):
        Unpaired()(Pool(np.zeros(0), np.zeros(0, dtype=np.int64)), 1, np.random.default_rng(0))
