from __future__ import annotations

import numpy as np
import pytest

from rmlab.metrics.order import Runs

VALUES = np.array([[1.0, 1, 1, 2, 3, 3], [0, 1, 2, 3, 4, 5], [7, 7, 7, 7, 7, 7]])


def test_runs_by_hand():
    runs = Runs.of(VALUES)
    np.testing.assert_array_equal(runs.first, [[0, 0, 0, 3, 4, 4], [0, 1, 2, 3, 4, 5], [0] * 6])
    np.testing.assert_array_equal(runs.tied_pairs(), [3 + 1, 0, 15])
    np.testing.assert_array_equal(runs.tie_cubes(), [27 - 3 + 8 - 2, 0, 216 - 6])


def test_means_stay_within_their_row_and_run():
    of = np.arange(18.0).reshape(3, 6)
    expected = [[1, 1, 1, 3, 4.5, 4.5], [6, 7, 8, 9, 10, 11], [14.5] * 6]
    np.testing.assert_allclose(Runs.of(VALUES).mean(of), expected)


@pytest.mark.parametrize("shape", [(3, 4), (2, 1)])
def test_without_ties_nothing_changes(shape):
    values = np.arange(np.prod(shape), dtype=float).reshape(shape)
    runs = Runs.of(values)
    assert not runs.any_tied
    np.testing.assert_array_equal(runs.mean(values), values)
    np.testing.assert_array_equal(runs.tied_pairs(), np.zeros(len(values)))
    np.testing.assert_array_equal(runs.tie_cubes(), np.zeros(len(values)))
