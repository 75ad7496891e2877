"""Intervals of margins: true to their promise where the model holds."""

from __future__ import annotations

import numpy as np
import pytest

from rmlab.comparisons import Comparisons, Pool
from rmlab.heads.base import FitData
from rmlab.heads.ensemble import Ensemble
from rmlab.heads.fitted.centred import CentredHead
from rmlab.heads.laplace import Laplace
from rmlab.heads.linear import Linear
from rmlab.losses.pairs import BradleyTerry
from rmlab.noise.flips import RandomFlips
from rmlab.noise.logistic import Logistic
from rmlab.sweeps.cell import interval_numbers

D, N, PRIOR = 8, 300, 1.0
ANNOTATOR = Logistic(beta=1.0, scale=1.0)
ALONE = np.arange(2 * N + 400)  # each response of a prompt of its own


class Rows:
    """Embeddings in memory."""

    def __init__(self, x):
        self.x = x

    def rows(self, rows):
        return self.x[rows]

    def blocks(self, wanted):
        rows = np.flatnonzero(wanted)
        yield rows, self.x[rows]


def world(seed):
    """A reward drawn from the prior of the head, and comparisons by its Bradley-Terry annotator."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2 * N + 400, D)).astype(np.float32)
    golden = x @ rng.normal(size=D) / np.sqrt(PRIOR)
    pool = Pool(golden, np.arange(len(x)))  # each response of a prompt of its own, so that any can be drawn
    items = rng.permutation(2 * N).reshape(-1, 2)
    compared = ANNOTATOR(Comparisons(items, np.zeros(N, np.int64)), pool, rng)
    return FitData(x, compared, compared), golden, np.arange(2 * N, len(x)).reshape(2, -1)


def measured(fitter, seed):
    data, golden, pairs = world(seed)
    head, _ = fitter.fit(data, BradleyTerry(), seed)
    return interval_numbers(head, ANNOTATOR, Rows(data.x), golden, ALONE, tuple(pairs))


def test_the_posterior_of_a_true_model_covers_nine_in_ten():
    fitter = Laplace(l2=PRIOR / N, standardise=False)
    found = [measured(fitter, seed) for seed in range(40)]
    assert np.mean([f["interval_coverage"] for f in found]) == pytest.approx(0.9, abs=0.03)


def test_five_bootstrap_members_promise_more_than_they_cover():
    """Their deviation is itself estimated from five: a normal interval of a t of 4 degrees covers .825 at best."""
    few = Ensemble(Linear(l2=PRIOR / N, standardise=False), 5, "mean", 1.0, True)
    found = [measured(few, seed)["interval_coverage"] for seed in range(20)]
    assert 0.6 < np.mean(found) < 0.86


def test_margins_are_those_of_the_posterior():
    data, _, (first, second) = world(0)
    head, _ = Laplace(l2=PRIOR / N, k=0.7).fit(data, BradleyTerry(), 0)
    mean, std = head.margin(data.x[first], data.x[second])
    drawn = np.random.default_rng(0).multivariate_normal(head.weight, head.factor.T @ head.factor, 20_000)
    z_a, z_b = (head.standardiser.apply(data.x[rows], np.float64) for rows in (first, second))
    scores = (z_a - z_b) @ drawn.T
    np.testing.assert_allclose(std, scores.std(axis=1), rtol=0.03)
    np.testing.assert_allclose(mean, (z_a - z_b) @ head.weight, atol=1e-9)


def test_margins_of_an_ensemble_are_those_of_its_members():
    data, golden, pairs = world(0)
    head, _ = Ensemble(Linear(), 3, "lcb", 1.0, True).fit(data, BradleyTerry(), 0)
    mean, std = head.margin(data.x[pairs[0]], data.x[pairs[1]])
    each = np.array([m.raw(data.x[pairs[0]]) - m.raw(data.x[pairs[1]]) for m in head.members])
    np.testing.assert_allclose(mean, each.mean(axis=0))
    np.testing.assert_allclose(std, each.std(axis=0, ddof=1))
    hot = interval_numbers(head.tempered(2.0), ANNOTATOR, Rows(data.x), golden, ALONE, tuple(pairs))
    cold = interval_numbers(head, ANNOTATOR, Rows(data.x), golden, ALONE, tuple(pairs))
    assert hot["interval_width"] == pytest.approx(cold["interval_width"] / 2)


@pytest.mark.parametrize("annotator", [RandomFlips(0.2), Logistic(beta=None), Logistic(error=0.2), None])
def test_no_true_log_odds_no_numbers(annotator):
    data, golden, pairs = world(0)
    head, _ = Laplace().fit(data, BradleyTerry(), 0)
    assert interval_numbers(head, annotator, Rows(data.x), golden, ALONE, tuple(pairs)) == {}
    linear, _ = Linear().fit(data, BradleyTerry(), 0)
    assert interval_numbers(linear, ANNOTATOR, Rows(data.x), golden, ALONE, tuple(pairs)) == {}


@pytest.mark.parametrize("fitter", [Laplace(), Ensemble(Linear(), 3, "mean", 1.0, True)])
def test_a_centred_linear_head_has_the_same_intervals_within_prompts(fitter):
    """The mean of a prompt goes from both responses of a pair, so from its difference."""
    data, golden, pairs = world(0)
    head, _ = fitter.fit(data, BradleyTerry(), 0)
    group = ALONE.copy()
    group[pairs[1]] = group[pairs[0]]
    found = interval_numbers(CentredHead(head), ANNOTATOR, Rows(data.x), golden, group, tuple(pairs))
    plain = interval_numbers(head, ANNOTATOR, Rows(data.x), golden, group, tuple(pairs))
    assert found == pytest.approx(plain, rel=1e-4)
