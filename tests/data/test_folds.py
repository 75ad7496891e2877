"""Folds of cross-validation: whole groups, evenly, whatever the order of the rows."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmlab.data.splits import folds_of_groups
from rmlab.errors import InputError

names = st.lists(st.text(max_size=8), min_size=2, max_size=40)


@given(names, st.integers(2, 6), st.integers(0, 3), st.randoms())
def test_each_group_has_one_fold_and_folds_are_even(groups, k, seed, random):
    distinct = len(set(groups))
    if distinct < k:
        with pytest.raises(InputError, match="lower crossval.folds"):
            folds_of_groups(groups, k, seed)
        return
    fold = folds_of_groups(groups, k, seed)
    sizes = Counter(fold.values())
    assert set(fold) == set(groups) and set(sizes) == set(range(k))
    assert max(sizes.values()) - min(sizes.values()) <= 1
    random.shuffle(groups)
    assert folds_of_groups(groups, k, seed) == fold


def test_the_seed_deals_anew():
    groups = [f"g{i}" for i in range(60)]
    first, second = (folds_of_groups(groups, 5, seed) for seed in (0, 1))
    assert first != second
