from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from rmlab.errors import InputError
from rmlab.noise.logistic import solve_beta


@pytest.mark.parametrize("error", [1e-300, 1e-9, 0.01, 0.3, 0.4999999, 0.5 - 1e-15])
@pytest.mark.parametrize("spread", [1e-9, 1.0, 1e9])
def test_the_error_is_reached_at_any_rate(error, spread):
    gap = np.abs(np.random.default_rng(0).normal(size=300)) * spread
    assert expit(-solve_beta(gap, error) * gap).mean() == pytest.approx(error, rel=1e-6)


def test_one_gap_has_a_closed_form():
    assert solve_beta(np.array([2.0]), 0.2) == pytest.approx(-logit(0.2) / 2)


def test_gaps_beyond_what_a_double_can_hold_are_refused_in_one_line():
    with pytest.raises(InputError, match="no beta gives the error 0.1") as error:
        solve_beta(np.array([1e-310, 1e308]), 0.1)
    assert "\n" not in str(error.value)
