"""The over-optimisation score on curves whose areas are known."""

from __future__ import annotations

import numpy as np
import pytest

from rmlab.metrics.intervals import Resamples
from rmlab.metrics.overoptimisation import gamma, gamma_of_prompts

KL = np.array([0.0, 1.0, 3.0])


def test_a_reward_that_keeps_its_promise_has_zero():
    gains = np.array([0.0, 0.5, 0.7])
    assert gamma(KL, gains, gains) == 0


def test_a_promise_of_twice_the_gain_has_one():
    gains = np.array([0.0, 0.5, 0.7])
    assert gamma(KL, gains, 2 * gains) == pytest.approx(1)
    assert gamma(KL, gains, 0 * gains) == pytest.approx(1)


def test_areas_on_either_side_of_a_crossing_add_up():
    """The gap goes from 1 to -1 along a line: two triangles of height 1 over .5 each."""
    golden, proxy = np.array([1.0, 1.0]), np.array([0.0, 2.0])
    assert gamma(np.array([0.0, 1.0]), golden, proxy) == pytest.approx(0.5)
    fine = np.linspace(0, 1, 20_001)
    curve = gamma(fine, np.ones_like(fine), 2 * fine)
    assert curve == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("golden", [[0.0, 0.0, 0.0], [0.0, -0.2, -0.4]])
def test_it_is_undefined_where_nothing_was_gained(golden):
    assert np.isnan(gamma(KL, np.array(golden), np.array([0.0, 1.0, 2.0])))


def prompts(n: int, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    kl = KL * rng.uniform(0.8, 1.2, (n, 1))
    golden = np.array([0.0, 0.5, 0.7]) + noise * rng.normal(size=(n, 1)) * np.array([0, 1, 1])
    return kl, golden, 2 * np.tile([0.0, 0.5, 0.7], (n, 1))


def test_the_interval_holds_the_value_and_narrows_with_prompts():
    widths = []
    for n in (20, 500):
        curves = prompts(n, 0.3)
        score = gamma_of_prompts(*curves, Resamples.draw(n, np.random.default_rng(1), 400))
        means = [c.mean(axis=0) for c in curves]
        assert score.gamma == pytest.approx(float(gamma(*means))) and score.kl == pytest.approx(means[0][-1])
        assert score.low < score.gamma < score.high
        widths.append(score.high - score.low)
    assert widths[1] < widths[0] / 2


def test_resamples_are_the_curves_of_prompts_drawn_with_replacement():
    kl, golden, proxy = prompts(5, 0.2)
    draws = Resamples.draw(5, np.random.default_rng(2), 50)
    values = []
    for counts in draws.counts:
        rows = np.repeat(np.arange(5), counts)
        values.append(float(gamma(kl[rows].mean(0), golden[rows].mean(0), proxy[rows].mean(0))))
    score = gamma_of_prompts(kl, golden, proxy, draws)
    np.testing.assert_allclose((score.low, score.high), np.quantile(values, (0.025, 0.975)), rtol=1e-12)


def test_there_is_no_interval_of_one_prompt_or_where_it_is_often_undefined():
    one = gamma_of_prompts(*prompts(1, 0.0), Resamples.draw(1, np.random.default_rng(0), 50))
    assert one.gamma > 0 and np.isnan(one.low) and np.isnan(one.high)
    kl, golden, proxy = prompts(20, 6.0)
    golden += 0.05 - golden.mean(axis=0)
    often = gamma_of_prompts(kl, golden, proxy, Resamples.draw(20, np.random.default_rng(0), 200))
    assert np.isfinite(often.gamma) and np.isnan(often.low)
