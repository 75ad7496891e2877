"""Intervals of a suite's results: by hand where a result is one mean, and how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest

from rmlab.metrics.group_mean import group_means
from rmlab.metrics.intervals import Resamples, interval
from rmlab.suites.base import Line, Tally, mean_of, term_of
from rmlab.suites.lines import scored_lines


def line_of(values, unit, seed=3, n=400):
    tally = Tally({"a": term_of(dict(enumerate(values)))}, [Line("a", "overall", {"a": 1.0}, -9.0, 9.0)])
    [line] = scored_lines(tally, np.array(unit), seed, n)
    return line


def test_a_single_mean_has_the_interval_that_it_has_elsewhere():
    values = np.random.default_rng(0).normal(size=30)
    line = line_of(values, range(30))
    expected = interval(values, np.random.default_rng(3), 400)
    assert (line.score, line.low, line.high) == pytest.approx(expected, abs=1e-12)
    assert (line.rows, line.prompts) == (30, 30)


def test_rows_of_a_prompt_are_drawn_together():
    rng = np.random.default_rng(1)
    unit = np.sort(np.append(np.arange(12), rng.integers(0, 12, 28)))
    values = rng.normal(size=12)[unit] + 0.1 * rng.normal(size=40)
    line = line_of(values, unit)
    draws = Resamples.draw(12, np.random.default_rng(3), 400)
    mean, low, high = (float(end[0]) for end in group_means(values[:, None], unit, draws))
    assert (line.score, line.low, line.high) == pytest.approx((mean, low, high), abs=1e-12)
    apart = line_of(values, range(40))
    assert line.high - line.low > 1.3 * (apart.high - apart.low)


def test_a_part_with_one_prompt_has_no_interval_and_ends_stay_within_bounds():
    terms = {"a": term_of({0: 1, 1: 1, 2: 0}), "b": term_of({3: 1})}
    lines = [Line(name, "subset", {name: 1.0}) for name in terms]
    tally = Tally(terms, [*lines, mean_of(lines, "both", "overall")])
    a, b, both = scored_lines(tally, np.arange(4), 0, 200)
    assert a.low == 0.0 and a.high == 1.0
    assert b.low is None and both.low is None and both.score == pytest.approx((2 / 3 + 1) / 2)


def test_equal_seeds_give_equal_ends_and_other_seeds_others():
    values = np.random.default_rng(2).normal(size=20)
    assert line_of(values, range(20)) == line_of(values, range(20))
    assert line_of(values, range(20)) != line_of(values, range(20), seed=4)


def test_means_of_subsets_hold_the_truth_as_often_as_they_say():
    """Three subsets of 15, 25 and 40 prompts with other truths and weights; a fifth of prompts is in two."""
    rng = np.random.default_rng(5)
    sizes, truths, weights = (15, 25, 40), (0.6, 0.75, 0.5), (5, 3, 2)
    unit = np.concatenate([np.arange(15), np.arange(12, 37), np.arange(32, 72)])
    name = np.repeat(np.arange(3), sizes)
    truth = float(np.average(truths, weights=weights))
    held = []
    for _ in range(1500):
        ease = rng.random(72)
        right = (0.5 * ease[unit] + 0.5 * rng.random(80)) < np.array(_quantiles(truths))[name]
        terms = {str(s): term_of({k: right[k] for k in np.flatnonzero(name == s)}) for s in range(3)}
        lines = [Line(s, "subset", {s: 1.0}) for s in terms]
        tally = Tally(terms, [mean_of(lines, "average", "overall", weights)])
        [line] = scored_lines(tally, unit, 1, 300)
        held.append(line.low <= truth <= line.high)
    print(f"held: {np.mean(held):.3f}")
    assert 0.93 <= np.mean(held) <= 0.975


def _quantiles(shares) -> list[float]:
    """The quantiles of the mean of two uniform numbers."""
    return [float(np.sqrt(s / 2)) if s <= 0.5 else float(1 - np.sqrt((1 - s) / 2)) for s in shares]
