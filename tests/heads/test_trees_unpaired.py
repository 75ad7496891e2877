"""Trees on single responses that were found good or not."""

from __future__ import annotations

from dataclasses import replace

import lightgbm
import numpy as np
import pytest
import torch
from scipy.special import entr, expit

from rmlab.comparisons import Comparisons
from rmlab.errors import ConfigError, InputError
from rmlab.heads.base import FitData, mean_loss
from rmlab.heads.trees import Trees
from rmlab.losses.lists import UnpairedLoss
from rmlab.losses.pairs import BradleyTerry, Classification

SMALL = Trees(n_estimators=40, num_leaves=7, early_stopping_rounds=5, learning_rate=0.3, feature_fraction=1.0)


def answers(rows: np.ndarray, share: np.ndarray, weight: np.ndarray | None = None) -> Comparisons:
    weight = np.ones(len(rows)) if weight is None else weight
    group = np.zeros(len(rows), dtype=np.int64)
    return Comparisons(items=rows[:, None], group=group, kind="unpaired", share=share, weight=weight)


@pytest.fixture
def data() -> FitData:
    """A third of 1000 responses is good, by the first two features."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 4)).astype(np.float32)
    good = (rng.random(1000) < expit(2 * x[:, 0] - x[:, 1] - 1)).astype(float)
    rows = np.arange(1000)
    return FitData(x, answers(rows[:700], good[:700]), answers(rows[700:], good[700:]))


def test_equals_the_classifier_of_lightgbm(data):
    weight = np.random.default_rng(1).uniform(0.5, 2.0, 700)
    weight[::50] = 0.0
    share = data.train.share
    fitter = replace(SMALL, early_stopping_rounds=0, n_estimators=20)
    head, _ = fitter.fit(replace(data, train=replace(data.train, weight=weight)), UnpairedLoss(), 0)
    oracle = lightgbm.LGBMClassifier(
        n_estimators=20, num_leaves=7, learning_rate=0.3, reg_lambda=1.0, n_jobs=1, verbosity=-1
    )
    counts = weight > 0
    oracle.fit(data.x[:700][counts], share[counts], sample_weight=weight[counts])
    np.testing.assert_allclose(head.raw(data.x), oracle.predict(data.x, raw_score=True), atol=1e-6)


def test_learns_what_is_good(data):
    head, log = SMALL.fit(data, UnpairedLoss(), 0)
    truth = 2 * data.x[:, 0] - data.x[:, 1]
    assert np.corrcoef(head.raw(data.x), truth)[0, 1] > 0.8
    # The log has the loss of an answer, as the logs of the other heads.
    scores = torch.from_numpy(head.raw(data.x)[data.validation.items])
    by_hand = float(mean_loss(UnpairedLoss(), scores, data.validation))
    assert min(r["loss"] for r in log.rows if r["split"] == "validation") == pytest.approx(by_hand, rel=1e-9)
    assert log.converged


def test_a_share_is_that_many_answers_of_each_kind(data):
    """Of four annotators: 0 to 4 found it good, as so many answers of weight 1/4."""
    rng = np.random.default_rng(2)
    # A few values only: the bins of LightGBM would depend on the number of rows otherwise.
    data = replace(data, x=np.clip(np.round(2 * data.x), -3, 3))
    votes = rng.binomial(4, expit(data.x[:, 0]))
    rows = np.arange(1000)
    shared = FitData(data.x, answers(rows[:700], votes[:700] / 4), answers(rows[700:], votes[700:] / 4))
    single = np.repeat(rows[:700], 4)
    found = (np.arange(4) < votes[:700, None]).ravel().astype(float)
    spread = replace(shared, train=answers(single, found, np.full(2800, 0.25)))
    fitter = replace(SMALL, min_child_samples=1, n_estimators=5, early_stopping_rounds=0)
    one, other = (fitter.fit(each, UnpairedLoss(), 0) for each in (shared, spread))
    np.testing.assert_allclose(one[0].raw(data.x), other[0].raw(data.x), atol=1e-6)
    assert [row["loss"] for row in one[1].rows] == pytest.approx(
        [row["loss"] for row in other[1].rows], rel=1e-6
    )


def test_says_when_no_split_was_possible(data):
    """The trees then know the share of good answers and nothing else."""
    head, log = replace(SMALL, min_child_samples=1000).fit(data, UnpairedLoss(), 0)
    good = data.train.share.mean()
    np.testing.assert_allclose(head.raw(data.x), np.log(good / (1 - good)), rtol=1e-6)
    assert log.rows[0]["loss"] == pytest.approx(entr([good, 1 - good]).sum())
    assert not log.converged
    assert "lower min_child_samples" in log.message
    assert SMALL.fit(data, UnpairedLoss(), 0)[1].converged


@pytest.mark.parametrize("loss", [UnpairedLoss(desirable_weight=2.0), UnpairedLoss(undesirable_weight=0.5)])
def test_refuses_class_weights(data, loss):
    """Even where the first answers are all of the other class."""
    order = np.argsort(data.train.share if loss.desirable_weight > 1 else -data.train.share, kind="stable")
    with pytest.raises(ConfigError, match=r"^head=trees fits loss=unpaired without class weights only"):
        SMALL.fit(replace(data, train=data.train.take(order)), loss, 0)


def test_refuses_losses_of_another_kind(data, linear_world):
    for loss in (BradleyTerry(), Classification()):
        with pytest.raises(ConfigError, match="not 1"):
            SMALL.fit(data, loss, 0)
    with pytest.raises(ConfigError, match="not 2"):
        SMALL.fit(linear_world.data, UnpairedLoss(), 0)

    def squared(scores: torch.Tensor, comparisons: Comparisons) -> torch.Tensor:
        return (scores[:, 0] - torch.from_numpy(comparisons.share)) ** 2

    with pytest.raises(ConfigError, match="head=trees fits loss=unpaired"):
        SMALL.fit(data, squared, 0)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_refuses_answers_of_one_kind(data, share):
    with pytest.raises(InputError, match="answers of both kinds"):
        SMALL.fit(replace(data, train=replace(data.train, share=np.full(700, share))), UnpairedLoss(), 0)
