"""Trees that are walked a split at a time, against LightGBM."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest

from rmlab.heads.fitted.tree_scores import Tree, transposed
from rmlab.heads.fitted.trees import TreesHead, plain_trees

ROWS = 3000  # more than are left to LightGBM


def model_of(x: np.ndarray, leaves: int, rounds: int = 20, **more: object) -> str:
    golden = np.sin(3 * x[:, 0]) + x[:, 1] * x[:, 2] + np.abs(x[:, 3])
    parameters = {"num_leaves": leaves, "min_child_samples": 1, "verbosity": -1, "objective": "binary"}
    data = lightgbm.Dataset(x, (golden > np.median(golden)).astype(float))
    return lightgbm.train(parameters | more, data, rounds).model_to_string()


@pytest.mark.parametrize("leaves", [2, 3, 15, 256])
@pytest.mark.parametrize("d", [4, 64, 67])
def test_scores_are_those_of_lightgbm_to_the_last_bit(leaves, d):
    x = np.random.default_rng(leaves).standard_normal((ROWS, d)).astype(np.float32)
    model = model_of(x, leaves, learning_rate=0.3)
    assert plain_trees(model) is not None
    expected = lightgbm.Booster(model_str=model).predict(x, raw_score=True)
    head = TreesHead(model=model)
    assert np.array_equal(head.raw(x), expected)
    assert np.array_equal(np.concatenate([head.raw(row) for row in np.array_split(x, 300)]), expected)
    assert np.unique(expected).size > 10 * (leaves > 2)


def test_numbers_at_a_threshold_go_left_as_lightgbm_has_them():
    """Thresholds between, at and next to numbers that float32 holds."""
    number = np.float32(0.1)
    exact = [float(number), np.nextafter(float(number), 1), np.nextafter(float(number), 0), 0.0, -0.0]
    x = np.array(
        [[number], [np.nextafter(number, np.float32(1))], [np.nextafter(number, np.float32(0))], [0], [-0.0]],
        dtype=np.float32,
    )
    none = np.array([-1])
    for threshold in exact:
        tree = Tree.of(np.array([0]), np.array([threshold]), none, np.array([-2]), np.array([10.0, 20.0]))
        place = tree.leaf(list(transposed(x)), np.empty((1, len(x)), np.uint8))
        assert list(tree.value[place]) == [10.0 if float(v) <= threshold else 20.0 for v in x[:, 0]]


def test_trees_that_are_not_walked_so_are_left_to_lightgbm():
    x = np.random.default_rng(0).standard_normal((ROWS, 4)).astype(np.float32)
    x[::3, 0] = 0
    large, zero = model_of(x, 257), model_of(x, 15, zero_as_missing=True)
    for model in (large, zero):
        assert plain_trees(model) is None
        expected = lightgbm.Booster(model_str=model).predict(x, raw_score=True)
        assert np.array_equal(TreesHead(model=model).raw(x), expected)
    double = x.astype(np.float64) + 1e-9
    model = model_of(x, 15)
    expected = lightgbm.Booster(model_str=model).predict(double, raw_score=True)
    assert np.array_equal(TreesHead(model=model).raw(double), expected)


def test_trees_without_a_split_score_their_one_leaf():
    x = np.random.default_rng(0).standard_normal((ROWS, 4)).astype(np.float32)
    model = model_of(x, 15, rounds=3, min_child_samples=2 * ROWS, boost_from_average=False)
    assert [len(tree.splits) for tree in plain_trees(model)] in ([0], [0, 0, 0])
    expected = lightgbm.Booster(model_str=model).predict(x, raw_score=True)
    assert np.array_equal(TreesHead(model=model).raw(x), expected)


@pytest.mark.parametrize("shape", [(1, 1), (255, 15), (256, 16), (257, 33), (600, 2048)])
def test_transposed_is_the_transpose(shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found = transposed(x)
    assert np.array_equal(found, x.T) and found.flags.c_contiguous
