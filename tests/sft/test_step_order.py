"""The order of rows: every row once an epoch, whole steps, the same from the seed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rmlab.sft.task import step_order


@given(n=st.integers(1, 40), epochs=st.integers(1, 3), batch=st.integers(1, 12), seed=st.integers(0, 5))
def test_each_epoch_has_every_row_once_and_is_filled_up_at_its_end(n, epochs, batch, seed):
    order = step_order(n, epochs, batch, seed)
    assert order.shape == (epochs, -(-n // batch), batch)
    for epoch in order.reshape(epochs, -1):
        assert sorted(epoch[:n]) == list(range(n))
        assert (epoch[n:] == n).all()


def test_epochs_and_seeds_differ_and_more_epochs_only_add():
    three = step_order(30, 3, 8, 0)
    assert np.array_equal(step_order(30, 2, 8, 0), three[:2])
    assert not np.array_equal(three[0], three[1])
    assert not np.array_equal(three[0], step_order(30, 1, 8, 1)[0])
