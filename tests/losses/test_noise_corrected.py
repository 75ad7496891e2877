from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rmlab.errors import ConfigError
from rmlab.losses.pairs import BradleyTerry, NoiseCorrected


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.3, 0.49])
def test_its_average_over_the_noise_is_the_clean_loss(table, normal, epsilon):
    scores, loss = 3 * normal(100, 2), NoiseCorrected(epsilon)
    average = (1 - epsilon) * loss(scores, table(100)) + epsilon * loss(scores.flip(1), table(100))
    torch.testing.assert_close(average, BradleyTerry()(scores, table(100)))


def test_it_undoes_flips_that_shrink_bradley_terry(table, minimum):
    rng = np.random.default_rng(0)
    w = np.array([2.0, -1.0, 0.5])
    z = rng.normal(size=(20000, 3))
    z *= np.where(rng.random(20000) < 1 / (1 + np.exp(-z @ w)), 1, -1)[:, None]  # the winner less the loser
    z *= np.where(rng.random(20000) < 0.2, -1, 1)[:, None]
    x = torch.from_numpy(np.stack([z, np.zeros_like(z)], axis=1))
    corrected, plain = (
        minimum(lambda v, loss=loss: loss(x @ v, table(20000)).mean(), 3)
        for loss in (NoiseCorrected(0.2), BradleyTerry())
    )
    np.testing.assert_allclose(corrected, w, atol=0.15)
    assert np.linalg.norm(plain) < 0.7 * np.linalg.norm(w)


def test_it_says_that_it_falls_for_ever(table):
    assert NoiseCorrected.unbounded is True
    m = torch.tensor([10.0, 100.0, 1000.0]).double()
    values = NoiseCorrected(0.1)(torch.stack([m, 0 * m], dim=1), table(3))
    torch.testing.assert_close(values, -m / 8, rtol=1e-3, atol=0)


def test_gradient_check(table, normal):
    assert torch.autograd.gradcheck(lambda s: NoiseCorrected()(s, table(7)), (normal(7, 2),))


def test_extreme_scores_stay_exact_and_finite(at_extremes):
    value, gradient = at_extremes(NoiseCorrected(0.25), [[1e4, -1e4], [-1e4, 1e4], [1e4, 1e4]])
    torch.testing.assert_close(value, torch.tensor([-1e4, 3e4, math.log(2)]).double())
    torch.testing.assert_close(gradient, torch.tensor([[-0.5, 0.5], [-1.5, 1.5], [-1, 1]]).double())


def test_bad_input_and_parameters_are_refused(table):
    with pytest.raises(ConfigError, match="noise_corrected compares 2 responses, not 3"):
        NoiseCorrected()(torch.zeros(4, 3), table(4, 3))
    for epsilon in (-0.1, 0.5, math.nan):
        with pytest.raises(ValueError, match="epsilon is"):
            NoiseCorrected(epsilon=epsilon)
