"""What is measured of the policies of a reward, prompt by prompt, and the rows that are made of it."""

from __future__ import annotations

import numpy as np
import pytest

from rmlab.config.fitting import Frontier
from rmlab.errors import InputError
from rmlab.evaluation.frontier import (
    BEST,
    SOFT,
    TILT,
    Point,
    Rewarded,
    Samples,
    frontier_rows,
    measure,
    points_of,
    score_rows,
)
from rmlab.metrics.among_n import best_of_n as expected_best_of_n
from rmlab.metrics.intervals import Resamples
from rmlab.metrics.order import ScoreOrder
from rmlab.metrics.policies import kl_from_samples, tilt

HOW = Frontier(ns=None, betas=[0.5, 2.0], soft_betas=[0.5])
KL, GOLDEN, PROXY, SIZE = range(4)


def samples(n_prompts: int, k: int, seed: int = 0) -> tuple[Samples, Rewarded]:
    rng = np.random.default_rng(seed)
    golden = rng.normal(size=n_prompts * k)
    head = 0.6 * golden + 0.8 * rng.normal(size=len(golden))
    group = np.repeat(np.arange(n_prompts), k)
    return Samples(golden, group, float(golden.std()), rng.permutation(len(golden))), Rewarded(
        "head", "head", head
    )


def test_the_points_are_the_reference_powers_of_two_and_the_betas():
    assert points_of(HOW, 6) == [
        *(Point(BEST, n, 0.0) for n in (1, 2, 4, 6)),
        *(Point(SOFT, n, 0.5) for n in (2, 4, 6)),
        Point(TILT, 0, 2.0),
        Point(TILT, 0, 0.5),
    ]
    asked = Frontier(ns=[3, 2, 3], betas=[1.0], soft_betas=[])
    assert points_of(asked, 6) == [*(Point(BEST, n, 0.0) for n in (1, 2, 3)), Point(TILT, 0, 1.0)]
    with pytest.raises(
        InputError, match=r"best of 9, but there are prompts with 6 responses; .*sampling\.n_test"
    ):
        points_of(Frontier(ns=[9], betas=[], soft_betas=[]), 6)


def test_tilts_and_best_of_n_are_those_of_each_prompt():
    of, head = samples(5, 12)
    curves = measure(of, head, HOW)
    r, g = head.rewards.reshape(5, 12), of.golden.reshape(5, 12)
    place = curves.points.index(Point(TILT, 0, 0.5))
    policy = tilt(r, 0.5)
    np.testing.assert_allclose(curves.whole[:, place, KL], kl_from_samples(policy))
    np.testing.assert_allclose(curves.whole[:, place, GOLDEN], (policy * g).sum(1))
    np.testing.assert_allclose(curves.whole[:, place, PROXY], (policy * r).sum(1))
    order = ScoreOrder.flat(head.rewards, of.golden, of.group)
    ns = [p.n for p in curves.points if p.method == BEST]
    np.testing.assert_allclose(curves.whole[:, : len(ns), GOLDEN], expected_best_of_n(order, ns))
    np.testing.assert_allclose(curves.reference[:, GOLDEN], g.mean(axis=1))
    np.testing.assert_allclose(curves.reference[:, KL], 0, atol=1e-12)


def test_halves_are_the_means_over_two_halves_that_the_order_cuts():
    of, head = samples(3, 9)
    curves = measure(of, head, HOW)
    place = curves.points.index(Point(TILT, 0, 0.5))
    for prompt in range(3):
        mine = of.order[of.group[of.order] == prompt]
        halves = [tilt(head.rewards[rows][None], 0.5) for rows in (mine[:4], mine[4:8])]
        assert curves.halves[prompt, place, KL] == pytest.approx(
            np.mean([kl_from_samples(p) for p in halves])
        )
    beyond = curves.points.index(Point(BEST, 8, 0.0))
    assert np.isnan(curves.halves[:, beyond]).all() and np.isfinite(curves.whole[:, beyond]).all()


def test_more_samples_move_a_small_beta_further():
    of, head = samples(60, 40)
    curves = measure(of, head, Frontier(ns=[1], betas=[0.2], soft_betas=[]))
    assert curves.halves[:, 1, KL].mean() < curves.whole[:, 1, KL].mean()
    assert curves.halves[:, 1, GOLDEN].mean() < curves.whole[:, 1, GOLDEN].mean()


def test_a_constant_added_to_the_reward_moves_its_own_level_alone():
    of, head = samples(4, 8)
    moved = measure(of, Rewarded("head", "head", head.rewards + 5.0), HOW)
    plain = measure(of, head, HOW)
    for place in (KL, GOLDEN, SIZE):
        np.testing.assert_allclose(moved.whole[:, :, place], plain.whole[:, :, place], atol=1e-9)
    np.testing.assert_allclose(moved.whole[:, :, PROXY], plain.whole[:, :, PROXY] + 5.0)


def test_no_reward_beats_the_golden_tilt_at_its_kl():
    of, head = samples(30, 50)
    of = Samples(of.golden / of.golden_deviation, of.group, 1.0, of.order)
    betas = [8, 4, 2, 1.5, 1, 0.8, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1]
    how = Frontier(ns=None, betas=betas, soft_betas=[0.5])
    ceiling, mine = measure(of, Rewarded("g", "golden", of.golden), how), measure(of, head, how)
    tilts = [j for j, p in enumerate(ceiling.points) if p.method == TILT]
    x, y = ceiling.whole[:, tilts].mean(axis=0)[:, :2].T
    for kl, golden, _, size in mine.whole.mean(axis=0):
        if size >= 10 and kl > x[0]:
            assert golden < np.interp(kl, x, y)


def rows_of(of: Samples, reward: Rewarded, n: int):
    curves = measure(of, reward, HOW)
    draws = Resamples.draw(len(curves.whole), np.random.default_rng(0), n)
    return curves, frontier_rows(curves, of, draws, "exact"), score_rows(curves, of, draws, "exact")


def test_rows_tell_intervals_gains_trust_and_samples():
    of, head = samples(40, 30)
    curves, rows, scores = rows_of(of, head, 200)
    assert {(r["is_half"], r["k"]) for r in rows} == {(False, 30), (True, 15)}
    assert max(r["n"] for r in rows if r["is_half"]) == 8 and max(r["n"] for r in rows) == 30
    for row in rows:
        assert row["kl_low"] <= row["kl"] <= row["kl_high"] and row["kl"] <= row["kl_bound"] + 1e-12
        assert row["golden_low"] <= row["golden"] <= row["golden_high"]
        assert row["is_trusted"] == (row["effective_size"] >= 10)
        assert (row["n_prompts"], row["n_constant"], row["reference"]) == (40, 0, "exact")
    tilted = next(r for r in rows if r["method"] == TILT and r["beta"] == 0.5 and not r["is_half"])
    gain = tilted["golden"] - of.golden.mean()
    assert tilted["golden_gain"] == pytest.approx(gain / of.golden_deviation)
    assert tilted["proxy_gain"] == pytest.approx(tilted["proxy"] - head.rewards.mean())
    by = {row["method"]: row for row in scores}
    assert set(by) == {BEST, SOFT, TILT} and all(row["gamma"] > 0 for row in scores)
    assert by[TILT]["kl"] == pytest.approx(
        max(r["kl"] for r in rows if r["method"] == TILT and r["is_trusted"] and not r["is_half"])
    )
    assert curves.left_out == 0


def test_a_golden_reward_keeps_its_own_promise():
    of, _ = samples(20, 30)
    scaled = Rewarded("g", "golden", (of.golden - of.golden.mean()) / of.golden_deviation)
    _, _, scores = rows_of(of, scaled, 50)
    assert all(row["gamma"] == pytest.approx(0, abs=1e-9) for row in scores)


def test_a_constant_reward_is_counted_and_has_no_score():
    of, _ = samples(6, 12)
    curves, rows, scores = rows_of(of, Rewarded("flat", "head", np.zeros(72)), 50)
    assert curves.constant.all()
    assert all(r["n_constant"] == 6 and r["kl"] == pytest.approx(0, abs=1e-9) for r in rows)
    assert all(np.isnan(row["gamma"]) for row in scores)


def test_a_golden_reward_without_spread_has_neither_gain_nor_score():
    of, head = samples(6, 12)
    flat = Samples(np.ones(72), of.group, 0.0, of.order)
    _, rows, scores = rows_of(flat, head, 50)
    assert all(np.isnan(r["golden_gain"]) and r["golden"] == pytest.approx(1) for r in rows)
    assert all(np.isnan(row["gamma"]) for row in scores)


def test_prompts_of_one_response_are_left_out_and_failed_rewards_are_too():
    of, head = samples(3, 6)
    rewards = head.rewards.copy()
    rewards[:5] = np.nan  # leaves one response of the first prompt
    rewards[6] = np.nan
    curves = measure(of, Rewarded("head", "head", rewards), HOW)
    assert curves.left_out == 1 and len(curves.whole) == 2 and curves.k == 5
    with pytest.raises(InputError, match="no test prompt has two responses"):
        measure(of, Rewarded("head", "head", np.full(18, np.nan)), HOW)
