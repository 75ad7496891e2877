"""The report's figure of the fine-tuning loss: both curves, both axes, and words for who cannot see it."""

from __future__ import annotations

import pandas as pd
import pytest

from rmlab.report.figures.curves import sft_loss


@pytest.fixture(autouse=True)
def quick_figures():
    """Takes the place of the one that leaves figures blank."""


def log(steps: dict[str, list[int]]) -> pd.DataFrame:
    rows = [
        {"step": step, "epoch": step / 4, "split": split, "loss": 3.0 - step / 10}
        for split, found in steps.items()
        for step in found
    ]
    return pd.DataFrame(rows)


def test_train_and_held_out_loss_are_named_curves():
    svg = sft_loss(log({"validation": [0, 4], "train": [1, 2, 3, 4]}))
    for words in (
        "train: each step",
        "validation: held-out demonstrations",
        "optimiser step",
        "loss a completion token",
        "train 2.6",
        "validation 2.6",
    ):
        assert words in svg


def test_without_held_out_demonstrations_there_is_one_curve():
    svg = sft_loss(log({"train": [1, 2]}))
    assert "train: each step" in svg and "validation" not in svg
