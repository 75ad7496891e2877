"""Parameters that make no sense are refused in one line."""

from __future__ import annotations

import pytest

from rmlab.heads.linear import Linear
from rmlab.heads.mlp import Mlp
from rmlab.heads.trees import Trees


@pytest.mark.parametrize(
    "wrong",
    [{"l2": -1.0}, {"l2": []}, {"l2": [1.0, float("nan")]}, {"tolerance": 0.0}, {"max_iterations": 0}],
)
def test_refuses_wrong_parameters_of_linear(wrong):
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must be"):
        Linear(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden": [0]},
        {"dropout": 1.0},
        {"weight_decay": -1.0},
        {"learning_rate": 0.0},
        {"epochs": 0},
        {"batch_size": 0},
        {"patience": 0},
    ],
)
def test_refuses_wrong_parameters_of_mlp(wrong):
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must"):
        Mlp(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_estimators": 0},
        {"num_leaves": 1},
        {"min_child_samples": 0},
        {"l2": -1.0},
        {"early_stopping_rounds": -1},
        {"num_threads": -1},
        {"learning_rate": 0.0},
        {"feature_fraction": 0.0},
    ],
)
def test_refuses_wrong_parameters_of_trees(wrong):
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must be"):
        Trees(**wrong)
