"""A head from golden scores and embeddings, in a world whose reward is known."""

from __future__ import annotations

import numpy as np
import pytest
from fitting_world import agreement, fit, world
from scipy.stats import spearmanr
from small_settings import SMALL

from rmlab.config.hydra import load_settings
from rmlab.errors import ConfigError
from rmlab.evaluation import fit as fitting
from rmlab.evaluation.fit import held_out


def test_the_regression_loss_is_a_ceiling_for_learning_from_noisy_answers():
    w = world()
    ceiling = agreement(w, fit(w, "loss=regression", "noise.error=0.4").head)
    learned = agreement(w, fit(w, "loss=bradley_terry", "noise.error=0.4").head)
    assert ceiling > 0.999
    assert 0.3 < learned < 0.97
    assert agreement(w, fit(w, "loss=bradley_terry", "noise=none").head) > learned + 0.02


@pytest.mark.parametrize("noise", ["noise.error=0.3", "noise=random_flips noise.rate=0.3"])
def test_noise_correction_keeps_the_direction(noise):
    """Errors at a known rate cost Bradley-Terry its scale and not its order: the heads agree, but for size."""
    w = world()
    plain = fit(w, "loss=bradley_terry", "head.l2=0.1", *noise.split()).head
    corrected = fit(w, "loss=noise_corrected", "loss.epsilon=0.3", "head.l2=0.1", *noise.split()).head
    assert corrected.raw(w.x).std() > 1.3 * plain.raw(w.x).std()
    assert spearmanr(plain.score(w.x), corrected.score(w.x)).statistic > 0.95


def test_rewards_are_normalised_on_train_responses_alone():
    w = world()
    found = fit(w, n=60)
    is_train = ~held_out(load_settings([*SMALL]), w.responses)
    scores = found.head.score(w.x)
    assert scores[is_train].mean() == pytest.approx(0, abs=1e-9) and scores[is_train].std() == pytest.approx(
        1
    )
    assert abs(scores.mean()) > 1e-6


def test_the_reference_is_all_or_evenly_spaced():
    rows = np.arange(100, 100 + fitting.REFERENCE)
    np.testing.assert_array_equal(fitting.reference_rows(rows), rows)
    many = np.arange(0, 3 * fitting.REFERENCE, 3)[: 2 * fitting.REFERENCE + 7]
    many = np.concatenate([many, many[-1] + 1 + np.arange(fitting.REFERENCE)])
    found = fitting.reference_rows(many)
    assert len(found) == fitting.REFERENCE == len(np.unique(found)) and np.isin(found, many).all()
    assert found[0] == many[0] and found[-1] == many[-1]
    steps = np.diff(np.searchsorted(many, found))
    assert steps.max() - steps.min() <= 1


def test_a_reference_of_some_is_used(monkeypatch):
    w = world()
    monkeypatch.setattr(fitting, "REFERENCE", 10)
    found = fit(w, n=60)
    is_train = ~held_out(load_settings([*SMALL]), w.responses)
    rows = np.flatnonzero(is_train)[np.linspace(0, is_train.sum() - 1, 10).astype(int)]
    assert found.head.score(w.x[rows]).mean() == pytest.approx(0, abs=1e-9)
    assert found.head.score(w.x[rows]).std() == pytest.approx(1)
    assert len(w.asked[0]) < len(w.x)  # embeddings that nothing needs are not read


def test_comparisons_name_rows_of_all_train_responses():
    w = world()
    found = fit(w, "noise=none", n=50)
    is_validation = held_out(load_settings([*SMALL]), w.responses)
    assert not is_validation[found.train.items].any() and is_validation[found.validation.items].all()
    np.testing.assert_array_equal(w.responses.golden[found.train.items], found.train.golden)
    assert (found.train.golden[:, 0] > found.train.golden[:, 1]).all()


@pytest.mark.parametrize(("keep", "rounds"), [(False, 1), (True, 1), (False, 4), (True, 4)])
def test_ties_are_counted_once(keep, rounds):
    w = world(levels=3)
    more = (
        f"noise.keep_ties={str(keep).lower()}",
        f"comparisons.rounds={rounds}",
        "comparisons.candidates=800",
    )
    found = fit(w, *more, n=200)
    report, ties = found.reports["train"], int(found.train.tie.sum())
    assert report["n"] == len(found.train) and (ties > 0) == keep
    assert report["n_ties"] == report["n_dropped_ties"] + ties
    if rounds == 1:
        assert report["n"] + report["n_dropped_ties"] == 200
        assert "candidates" not in found.reports
    else:
        candidates = found.reports["candidates"]
        assert report["n"] == 200 and candidates["n"] + candidates["n_dropped_ties"] == 800
    assert report["error_rate"] == pytest.approx(np.mean(~found.train.correct[~found.train.tie]))


def test_selection_keeps_what_is_said_of_the_whole_crowd():
    found = fit(world(), "comparisons.rounds=2", "selection=entropy", "noise=crowd", n=100)
    assert 0 < found.reports["candidates"]["fleiss_kappa"] < 1
    assert found.reports["candidates"]["n"] == 500 and "fleiss_kappa" not in found.reports["train"]


def test_chosen_pairs_are_those_that_a_head_of_the_first_round_is_least_sure_of():
    """Entropy beside chance: the golden gaps of what it asks are smaller."""
    w = world()
    by = {
        s: fit(w, "comparisons.rounds=4", f"selection={s}", n=120)
        for s in ("entropy", "uniform", "max_difference")
    }
    gap = {s: found.train.margin[30:].mean() for s, found in by.items()}
    assert gap["entropy"] < 0.8 * gap["uniform"] < 0.8 * gap["max_difference"]
    for found in by.values():
        np.testing.assert_array_equal(found.train.items[:30], by["uniform"].train.items[:30])


def test_selected_answers_are_those_of_the_candidates():
    w = world()
    all_at_once = {tuple(sorted(i)): tuple(i) for i in fit(w, n=200).train.items.tolist()}
    rounds = fit(w, "comparisons.rounds=4", "selection=coreset", "comparisons.candidates=200", n=80)
    assert all(all_at_once[tuple(sorted(i))] == tuple(i) for i in rounds.train.items.tolist())


@pytest.mark.parametrize(
    "overrides",
    [
        ["loss=bradley_terry", "pairing=lists"],
        ["loss=plackett_luce", "pairing=lists", "pairing.answer=choice"],
        ["loss=unpaired"],
        ["selection=entropy", "comparisons.rounds=2", "pairing=unpaired", "loss=unpaired"],
    ],
)
def test_what_does_not_go_together_is_refused_before_an_embedding_is_read(overrides):
    w = world()
    with pytest.raises(ConfigError):
        fit(w, *overrides, n=50)
    assert w.asked == []


@pytest.mark.parametrize("members", [1, 3])
def test_diagnostics_are_of_the_scores_as_fitted(members):
    w = world()
    more = ("loss=robust_btl", "noise=largest_margin_flips", f"ensemble.members={members}")
    found = fit(w, *more)
    raw = found.head.raw(w.x)[found.train.items]
    np.testing.assert_allclose(found.diagnostics["margin"], raw[:, 0] - raw[:, 1], atol=1e-9)


@pytest.mark.parametrize("combine", ["mean", "min", "lcb"])
def test_an_ensemble_agrees_with_answers_by_the_rewards_that_it_picks_by(combine):
    w = world(d=30)
    found = fit(w, "noise.error=0.4", "ensemble.members=4", f"ensemble.combine={combine}", n=60)
    reward = found.head.score(w.x)
    first, other = found.validation.items.T
    agrees = (1 + np.sign(reward[first] - reward[other])) / 2
    assert found.label_accuracy == pytest.approx(np.average(agrees, weights=found.validation.weight))


def test_ensembles_that_combine_otherwise_agree_otherwise():
    w = world(d=30)
    how = ("noise.error=0.4", "ensemble.members=4", "ensemble.k=5.0")
    found = {c: fit(w, *how, f"ensemble.combine={c}", n=60).label_accuracy for c in ("mean", "lcb")}
    assert found["mean"] != found["lcb"]
