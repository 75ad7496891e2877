"""The MLP's epochs: which one is kept, when it stops, and what the log says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rmlab.comparisons import Comparisons
from rmlab.heads.base import FitData, mean_loss
from rmlab.heads.mlp import Mlp
from rmlab.losses.pairs import BradleyTerry


def losses(log, split: str) -> list[float]:
    return [row["loss"] for row in log.rows if row["split"] == split]


def loss_of(head, x: np.ndarray, comparisons: Comparisons) -> float:
    return float(mean_loss(BradleyTerry(), torch.from_numpy(head.score(x)[comparisons.items]), comparisons))


@pytest.fixture(scope="module")
def overfitted():
    """40 epochs on 60 comparisons, a third of them wrong: the last epoch is far from the best."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 10)).astype(np.float32)
    items = rng.permutation(400).reshape(-1, 2)
    better = (x[items[:, 0], 0] > x[items[:, 1], 0]) ^ (rng.random(200) < 0.33)
    items = np.where(better[:, None], items, items[:, ::-1])
    train, validation = (Comparisons(items=part, group=part[:, 0]) for part in np.split(items, [60]))
    data = FitData(x, train, validation)
    fitter = Mlp(hidden=[64], dropout=0.0, epochs=40, batch_size=16, patience=40, learning_rate=3e-3)
    return data, *fitter.fit(data, BradleyTerry(), 0)


def test_keeps_the_best_epoch_not_the_last(overfitted):
    data, head, log = overfitted
    validation = losses(log, "validation")
    assert min(validation) < validation[-1] - 0.1
    assert log.chosen["epoch"] == 1 + int(np.argmin(validation)) < 40
    assert loss_of(head, data.x, data.validation) == pytest.approx(min(validation), abs=1e-5)
    assert log.converged


def test_training_loss_falls(overfitted):
    training = losses(overfitted[2], "train")
    assert training[-1] < training[0] / 2


def test_stops_after_patience_epochs_without_progress(overfitted):
    data, _, log = overfitted
    validation = losses(log, "validation")
    # Where three epochs in a row brought nothing better than what came before them.
    waits = [
        epoch
        for epoch in range(3, 40)
        if min(validation[epoch - 2 : epoch + 1]) > min(validation[: epoch - 2])
    ]
    fitter = Mlp(hidden=[64], dropout=0.0, epochs=40, batch_size=16, patience=3, learning_rate=3e-3)
    _, stopped = fitter.fit(data, BradleyTerry(), 0)
    assert losses(stopped, "validation") == validation[: waits[0] + 1]
    assert stopped.rows[-1]["epoch"] == stopped.chosen["epoch"] + 3


def test_says_when_the_best_epoch_was_the_last(linear_world):
    _, log = Mlp(hidden=[16], epochs=2, learning_rate=1e-4).fit(linear_world.data, BradleyTerry(), 0)
    assert not log.converged
    assert "raise epochs" in log.message


@pytest.mark.parametrize("n", [60, 120])
def test_a_budget_of_steps_is_the_same_for_any_number_of_comparisons(overfitted, n):
    data = overfitted[0]
    rng = np.random.default_rng(0)
    train = data.train.take(rng.integers(0, 60, size=n))
    fitter = Mlp(hidden=[8], steps=65, batch_size=16, patience=100)
    _, log = fitter.fit(replace(data, train=train), BradleyTerry(), 0)
    steps = [row["step"] for row in log.rows if row["split"] == "validation"]
    assert steps[-1] == 65 and np.diff([0, *steps]).tolist() == [2] * 31 + [3]
    assert log.rows[-1]["epoch"] == pytest.approx(65 / -(-n // 16))
    assert log.chosen["step"] in steps


def test_a_budget_of_steps_may_be_smaller_than_an_epoch(overfitted):
    data = overfitted[0]
    _, log = Mlp(hidden=[8], steps=2, batch_size=4).fit(data, BradleyTerry(), 0)
    assert [row["step"] for row in log.rows if row["split"] == "train"] == [1, 2]
    assert not log.converged and "best step was the last of 2; raise steps" in log.message
    with pytest.raises(ValueError, match="steps must be"):
        Mlp(steps=0)
