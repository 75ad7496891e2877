"""Rankings and choices: Plackett-Luce against enumeration, and the error rate it is solved for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax

from rmlab.comparisons import Comparisons, Kind, Pool
from rmlab.errors import InputError
from rmlab.noise.error_report import noise_report
from rmlab.noise.logistic import Logistic, stage_log_prob


def lists(golden: list[float] | np.ndarray, n: int, kind: Kind = "list") -> tuple[Comparisons, Pool]:
    """n lists of the same golden rewards, each in an order of its own."""
    k = len(golden)
    pool = Pool(np.tile(np.asarray(golden, dtype=float), n), np.repeat(np.arange(n), k))
    items = np.random.default_rng(9).permuted(np.arange(n * k).reshape(n, k), axis=1)
    return Comparisons(items=items, group=np.arange(n), kind=kind), pool


def random_lists(n: int, k: int, seed: int, levels: int | None = None, kind: Kind = "list"):
    rng = np.random.default_rng(seed)
    golden = rng.normal(2, 3, n * k) if levels is None else rng.integers(0, levels, n * k).astype(float)
    golden[0] += 0.5  # never all equal
    return Comparisons(rng.permutation(n * k).reshape(n, k), np.zeros(n), kind), Pool(golden, np.zeros(n * k))


def probability(utility: np.ndarray, order: tuple[int, ...]) -> float:
    """Plackett-Luce by its definition: the best first, each out of those that are left."""
    weight = np.exp(utility)
    left, p = list(order), 1.0
    for i in order:
        p *= weight[i] / weight[left].sum()
        left.remove(i)
    return p


def within(seen: np.ndarray | float, p: np.ndarray | float, n: int) -> bool:
    return bool(np.all(np.abs(seen - p) <= 4.5 * np.sqrt(p * (1 - np.asarray(p)) / n)))


def test_rankings_come_as_often_as_plackett_luce_says():
    golden, n = np.array([0.0, 1.0, 1.0, 2.5]), 40_000
    comparisons, pool = lists(golden, n)
    answered = Logistic(beta=0.8, scale=2.0)(comparisons, pool, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(answered.items, axis=1), np.sort(comparisons.items, axis=1))
    ranking = answered.items % 4
    total = 0.0
    for order in itertools.permutations(range(4)):
        rows = (ranking == order).all(axis=1)
        p = probability(0.4 * golden, order)
        total += p
        assert within(rows.mean(), p, n)
        np.testing.assert_allclose(answered.label_prob[rows], p)
        np.testing.assert_allclose(answered.margin[rows], abs(golden[order[0]] - golden[order[-1]]))
        assert (answered.correct[rows] == (order in [(3, 1, 2, 0), (3, 2, 1, 0)])).all()
    assert total == pytest.approx(1)
    np.testing.assert_array_equal(answered.golden, pool.golden[answered.items])
    np.testing.assert_array_equal(answered.group, comparisons.group)
    assert (answered.share == 1).all()


def test_any_two_of_a_ranking_are_a_bradley_terry_pair():
    golden, n = np.array([0.0, 0.3, 1.5, 2.5]), 30_000
    ranking = Logistic(beta=1.0, scale=1.0)(*lists(golden, n), np.random.default_rng(1)).items % 4
    place = np.argsort(ranking, axis=1)
    for i, j in itertools.combinations(range(4), 2):
        assert within((place[:, i] < place[:, j]).mean(), expit(golden[i] - golden[j]), n)


def test_choices_come_as_often_as_softmax_says():
    golden, n = np.array([0.0, 1.0, 1.0, 2.5, -1.0]), 30_000
    comparisons, pool = lists(golden, n, "choice")
    answered = Logistic(beta=0.7, scale=1.0)(comparisons, pool, np.random.default_rng(0))
    assert answered.kind == "choice"
    p = softmax(0.7 * golden)
    chosen = answered.items[:, 0] % 5
    assert within(np.bincount(chosen) / n, p, n)
    np.testing.assert_allclose(answered.label_prob, p[chosen])
    np.testing.assert_array_equal(answered.correct, chosen == 3)
    np.testing.assert_array_equal(answered.golden, pool.golden[answered.items])
    rest = (golden.sum() - golden[chosen]) / 4
    np.testing.assert_allclose(answered.margin, np.abs(golden[chosen] - rest))


def test_the_rest_of_a_choice_tells_nothing_of_its_order():
    golden, n = np.array([0.0, 1.0, 2.0, 30.0]), 20_000
    rest = (
        Logistic(beta=5.0, scale=1.0)(*lists(golden, n, "choice"), np.random.default_rng(0)).items[:, 1:] % 4
    )
    for order in itertools.permutations(range(3)):
        assert within((rest == order).all(axis=1).mean(), 1 / 6, n)


@pytest.mark.parametrize("kind", ["list", "choice"])
def test_two_responses_follow_the_law_of_a_pair(kind):
    n = 30_000
    answered = Logistic(beta=1.0, scale=1.0)(*lists([0.0, 0.8], n, kind), np.random.default_rng(0))
    assert within(answered.correct.mean(), expit(0.8), n)
    np.testing.assert_allclose(answered.label_prob, np.where(answered.correct, expit(0.8), expit(-0.8)))
    np.testing.assert_allclose(answered.margin, 0.8)


def expected_pair_error(labels: Logistic, comparisons: Comparisons, pool: Pool) -> float:
    """Mean of sigma(-beta |dr|) over untied pairs of lists, beta read from the labels' probabilities."""
    scaled = labels._utility(pool.golden[comparisons.items], pool)
    first, second = np.triu_indices(scaled.shape[1], 1)
    gap = np.abs(scaled[:, first] - scaled[:, second])
    return float(expit(-gap[gap > 0]).mean())


@settings(max_examples=40, deadline=None)
@given(
    error=st.sampled_from([1e-9, 1e-3, 0.1, 0.3, 0.4999999]),
    k=st.integers(2, 6),
    seed=st.integers(0, 1000),
    levels=st.sampled_from([None, 3, 30]),
)
def test_solved_beta_gives_the_error_over_pairs_within_lists(error, k, seed, levels):
    comparisons, pool = random_lists(20, k, seed, levels)
    assert expected_pair_error(Logistic(error=error), comparisons, pool) == pytest.approx(error, rel=1e-6)


@pytest.mark.parametrize("levels", [None, 4])
def test_realised_error_of_rankings_is_the_one_asked_for(levels):
    comparisons, pool = random_lists(4000, 5, 0, levels)
    for error in (0.05, 0.25, 0.45):
        answered = Logistic(error=error)(comparisons, pool, np.random.default_rng(0))
        assert noise_report(answered)["error_rate"] == pytest.approx(error, abs=0.012)
        wrong = pairs = 0
        for golden in answered.golden[:200]:
            for better, worse in itertools.combinations(golden, 2):
                wrong, pairs = wrong + (better < worse), pairs + (better != worse)
        assert noise_report(answered.take(np.arange(200)))["error_rate"] == pytest.approx(wrong / pairs)


def test_one_error_is_one_annotator_whatever_is_asked():
    ranked = random_lists(50, 4, 0)
    chosen = random_lists(50, 4, 0, kind="choice")
    labels = Logistic(error=0.2)
    np.testing.assert_array_equal(
        labels._utility(ranked[1].golden[ranked[0].items], ranked[1]),
        labels._utility(chosen[1].golden[chosen[0].items], chosen[1]),
    )
    answered = labels(*chosen, np.random.default_rng(0))
    assert noise_report(answered)["error_rate"] == pytest.approx(
        (answered.golden[:, 0] < answered.golden.max(axis=1)).mean()
    )


@pytest.mark.parametrize("kind", ["list", "choice"])
@pytest.mark.parametrize("labels", [Logistic(beta=None), Logistic(error=0.0)])
def test_noiseless_lists_follow_the_golden_order_and_ties_a_coin(kind, labels):
    n = 12_000
    comparisons, pool = lists([1.0, 5.0, 5.0, 5.0000001], n, kind)
    answered = labels(comparisons, pool, np.random.default_rng(0))
    assert answered.correct.all()
    order = answered.items % 4
    assert (order[:, 0] == 3).all()
    if kind == "list":
        assert (order[:, 3] == 0).all()
        assert within((order[:, 1] == 1).mean(), 0.5, n)
        np.testing.assert_allclose(answered.label_prob, 0.5)
    else:
        np.testing.assert_allclose(answered.label_prob, 1)


@pytest.mark.parametrize("kind", ["list", "choice"])
def test_lists_of_equal_rewards_are_dropped_unless_kept(kind):
    golden = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 2.0], [3.0, 3.0, 3.0]])
    pool = Pool(golden.ravel(), np.repeat(np.arange(3), 3))
    comparisons = Comparisons(
        np.arange(9).reshape(3, 3), np.arange(3), kind, weight=np.array([1.0, 2.0, 3.0])
    )
    dropped = Logistic()(comparisons, pool, np.random.default_rng(0))
    kept = Logistic(keep_ties=True)(comparisons, pool, np.random.default_rng(0))
    assert dropped.weight.tolist() == [2.0]
    np.testing.assert_array_equal(dropped.items, kept.items[1:2])
    assert kept.tie.tolist() == [True, False, True]
    assert not kept.correct[kept.tie].any()
    np.testing.assert_allclose(kept.label_prob[kept.tie], 1 / 6 if kind == "list" else 1 / 3)
    assert (kept.margin[kept.tie] == 0).all()


def test_stages_are_stable_at_extreme_utilities():
    stages = stage_log_prob(np.array([[1e4, 0.0, -1e4], [-1e4, 0.0, 1e4]]))
    np.testing.assert_allclose(stages, [[0, 0, 0], [-2e4, -1e4, 0]])


@pytest.mark.parametrize("kind", ["list", "choice"])
@pytest.mark.parametrize("labels", [Logistic(), Logistic(error=0.1), Logistic(None, keep_ties=True)])
def test_lists_without_golden_order_are_refused(kind, labels):
    comparisons, pool = lists([1.0, 1.0, 1.0], 5, kind)
    with pytest.raises(InputError, match="equal golden rewards"):
        labels(comparisons, pool, np.random.default_rng(0))
    pool.golden[4] = np.nan
    with pytest.raises(InputError, match="not finite"):
        labels(comparisons, pool, np.random.default_rng(0))


def test_answers_to_lists_are_repeatable():
    comparisons, pool = random_lists(100, 4, 0)
    first, again, other = (Logistic()(comparisons, pool, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.items, again.items)
    assert (first.items != other.items).any()
