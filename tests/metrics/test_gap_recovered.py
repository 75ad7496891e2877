"""The gap recovered: known ratios, invariances, and coverage where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from rmlab.errors import InputError
from rmlab.metrics.group_mean import gap_recovered
from rmlab.metrics.intervals import Resamples


def draws(p: int, n: int = 1000) -> Resamples:
    return Resamples.draw(p, np.random.default_rng(0), n)


def heads(p: int, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prompts in common, a gap of 1, of which the student recovers a share in the mean."""
    prompt = rng.normal(size=p)
    noise = rng.normal(size=(3, p))
    return prompt + noise[0], prompt + share + noise[1], prompt + 1 + noise[2]


def test_ends_of_the_scale():
    weak, _, ceiling = heads(60, 0.5, np.random.default_rng(1))
    assert gap_recovered(weak, ceiling, ceiling, draws(60)) == pytest.approx((1, 1, 1))
    assert gap_recovered(weak, weak, ceiling, draws(60)) == pytest.approx((0, 0, 0))
    half = (weak + ceiling) / 2
    assert gap_recovered(weak, half, ceiling, draws(60)) == pytest.approx((0.5, 0.5, 0.5))


def test_it_is_the_ratio_of_means_whatever_the_unit():
    weak, student, ceiling = heads(80, 0.3, np.random.default_rng(2))
    found = gap_recovered(weak, student, ceiling, draws(80))
    assert found[0] == pytest.approx((student.mean() - weak.mean()) / (ceiling.mean() - weak.mean()))
    assert gap_recovered(5 * weak - 2, 5 * student - 2, 5 * ceiling - 2, draws(80)) == pytest.approx(found)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(3)
    inside, known = 0, 0
    for _ in range(400):
        _, low, high = gap_recovered(*heads(150, 0.6, rng), draws(150, 400))
        known += not np.isnan(low)
        inside += low <= 0.6 <= high
    assert known == 400
    assert 0.91 <= inside / known <= 0.98


def test_without_a_gap_there_is_no_interval():
    rng = np.random.default_rng(4)
    weak, student = rng.normal(size=(2, 50))
    ratio, low, high = gap_recovered(weak, student, weak + rng.normal(size=50) * 0.1 - 0.01, draws(50))
    assert np.isfinite(ratio) and np.isnan(low) and np.isnan(high)
    assert np.isnan(gap_recovered(weak, student, weak, draws(50))).all()


def test_prompts_without_a_value_are_left_out_of_all_three():
    weak, student, ceiling = heads(40, 0.5, np.random.default_rng(5))
    holed = student.copy()
    holed[:4] = np.nan
    expected = (student[4:].mean() - weak[4:].mean()) / (ceiling[4:].mean() - weak[4:].mean())
    assert gap_recovered(weak, holed, ceiling, draws(40))[0] == pytest.approx(expected)
    with pytest.raises(InputError, match="on the same prompts"):
        gap_recovered(weak[1:], student, ceiling, draws(40))
