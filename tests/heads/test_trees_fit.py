"""Trees against LightGBM itself, and what they refuse."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

import lightgbm
import numpy as np
import pytest
import torch

from rmlab.comparisons import Comparisons
from rmlab.errors import ConfigError, RmlabError
from rmlab.heads.base import FitData, mean_loss
from rmlab.heads.trees import Trees
from rmlab.losses.pairs import BradleyTerry, Classification, Hinge

SMALL = Trees(n_estimators=60, num_leaves=7, feature_fraction=0.5, early_stopping_rounds=5, learning_rate=0.3)


@dataclass(frozen=True)
class TiltedClassification:
    """Classification with another weight for losers: trees cannot fit it."""

    def __call__(self, scores: torch.Tensor, comparisons: Comparisons) -> torch.Tensor:
        softplus = torch.nn.functional.softplus
        return softplus(-scores[:, 0]) + 0.5 * softplus(scores[:, 1])


@pytest.fixture
def fitted(linear_world):
    return SMALL.fit(linear_world.data, Classification(), 0)


def test_scores_are_the_raw_log_odds_of_lightgbm(linear_world, fitted, tmp_path):
    head, _ = fitted
    head.save(tmp_path)
    booster = lightgbm.Booster(model_file=str(tmp_path / "head.txt"))
    x = linear_world.data.x
    assert np.array_equal(head.score(x), booster.predict(x, raw_score=True))
    np.testing.assert_allclose(1 / (1 + np.exp(-head.score(x))), booster.predict(x), rtol=1e-12)


def test_equals_the_classifier_of_lightgbm(linear_world, compare):
    """The same trees as LGBMClassifier on winners (1) and losers (0), with weights."""
    x, items = linear_world.data.x, linear_world.data.train.items
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(items))
    data = FitData(x, compare(items, weight=weight), compare(items[:0]))
    fitter = replace(SMALL, early_stopping_rounds=0, n_estimators=20, feature_fraction=1.0)
    head, _ = fitter.fit(data, Classification(), 0)
    oracle = lightgbm.LGBMClassifier(
        n_estimators=20, num_leaves=7, learning_rate=0.3, reg_lambda=1.0, n_jobs=1, verbosity=-1
    )
    oracle.fit(x[items.T.ravel()], np.repeat([1, 0], len(items)), sample_weight=np.tile(weight, 2))
    np.testing.assert_allclose(head.score(x), oracle.predict(x, raw_score=True), atol=1e-6)
    assert np.std(head.score(x)) > 0.5


def test_learns_the_order(linear_world, fitted):
    assert linear_world.accuracy(fitted[0]) > 0.8


def test_stops_at_the_best_number_of_trees(linear_world, fitted):
    head, log = fitted
    validation = [row["loss"] for row in log.rows if row["split"] == "validation"]
    best = log.chosen["n_estimators"]
    assert best == 1 + int(np.argmin(validation)) < 60
    assert len(validation) == best + 5
    assert head._booster.num_trees() == best
    # The log has the loss of a comparison, as the logs of the other heads.
    scores = torch.from_numpy(head.score(linear_world.data.x)[linear_world.data.validation.items])
    by_hand = mean_loss(Classification(), scores, linear_world.data.validation)
    assert min(validation) == pytest.approx(float(by_hand), rel=1e-9)
    assert log.converged


def test_same_seed_same_trees(linear_world, fitted):
    assert fitted[0].model == SMALL.fit(linear_world.data, Classification(), 0)[0].model
    assert fitted[0].model != SMALL.fit(linear_world.data, Classification(), 1)[0].model


@pytest.mark.parametrize("seed", [2**63 + 5, -1])
def test_any_seed_fits_the_32_bits_of_lightgbm(seed):
    assert 0 <= SMALL._parameters(seed)["seed"] < 2**31


def test_comparisons_of_weight_zero_change_nothing(linear_world, fitted, compare):
    items = linear_world.data.train.items
    padded = np.vstack([items, items[:100, ::-1]])
    weight = np.where(np.arange(len(padded)) < len(items), 1.0, 0.0)
    data = replace(linear_world.data, train=compare(padded, weight=weight))
    assert SMALL.fit(data, Classification(), 0)[0].model == fitted[0].model


def test_says_when_the_last_tree_was_the_best(linear_world):
    _, log = replace(SMALL, n_estimators=3, learning_rate=0.01).fit(linear_world.data, Classification(), 0)
    assert not log.converged
    assert "raise n_estimators" in log.message


def test_says_when_no_split_was_possible(linear_world):
    head, log = replace(SMALL, min_child_samples=1000).fit(linear_world.data, Classification(), 0)
    assert np.ptp(head.score(linear_world.data.x)) == 0
    assert not log.converged
    assert "lower min_child_samples" in log.message


@pytest.mark.parametrize("loss", [Hinge(), TiltedClassification()])
def test_refuses_other_losses(linear_world, loss):
    with pytest.raises(
        ConfigError, match=r"^head=trees fits loss=classification and loss=bradley_terry only; add loss=class"
    ):
        SMALL.fit(linear_world.data, loss, 0)


def test_refuses_more_than_two_responses(linear_world, compare):
    data = replace(linear_world.data, train=compare(np.arange(30).reshape(-1, 3)))
    with pytest.raises(ConfigError, match="compares 2 responses, got 3"):
        SMALL.fit(data, Classification(), 0)


def test_says_how_to_install_lightgbm(linear_world, fitted, monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    message = r"^head=trees needs lightgbm; run: pip install \"lightgbm[^\"]*\"$"
    with pytest.raises(RmlabError, match=message):
        SMALL.fit(linear_world.data, Classification(), 0)
    with pytest.raises(RmlabError, match=message):
        replace(fitted[0]).score(linear_world.data.x)


def test_fits_on_the_same_pairs_share_their_bins_and_give_the_same_trees(linear_world, compare, monkeypatch):
    x, items, held = linear_world.data.x, linear_world.data.train.items, linear_world.data.validation
    flipped = np.where(np.random.default_rng(0).random((len(items), 1)) < 0.3, items[:, ::-1], items)
    made, original = [], lightgbm.Dataset
    monkeypatch.setattr(lightgbm, "Dataset", lambda *a, **k: made.append(1) or original(*a, **k))
    for loss in (Classification(), BradleyTerry()):
        kept, alone = {}, []
        for answers in (items, flipped):
            data = FitData(x, compare(answers), held)
            alone.append(SMALL.fit(data, loss, 0)[0].model)
        assert alone[0] != alone[1]
        made.clear()
        shared = [SMALL.fit(FitData(x, compare(a), held, kept), loss, 0)[0].model for a in (items, flipped)]
        assert shared == alone and len(made) == 2  # of training and of validation, once
        other = replace(SMALL, max_bin=15).fit(FitData(x, compare(items), held, kept), loss, 0)[0].model
        fewer = SMALL.fit(FitData(x, compare(items[1:]), held, kept), loss, 0)[0].model
        assert len(made) == 6 and other not in alone and fewer not in alone
        assert fewer == SMALL.fit(FitData(x, compare(items[1:]), held), loss, 0)[0].model
