from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from rmlab.comparisons import Comparisons, Pool
from rmlab.errors import ConfigError, InputError
from rmlab.noise.logistic import Logistic


def case(n: int = 2000, seed: int = 0, levels: int | None = None) -> tuple[Comparisons, Pool]:
    """n disjoint pairs across prompts, with ties if the golden reward has few levels."""
    rng = np.random.default_rng(seed)
    golden = rng.normal(2, 3, 2 * n) if levels is None else rng.integers(0, levels, 2 * n).astype(float)
    pool = Pool(golden, np.arange(2 * n) % 50)
    items = rng.permutation(2 * n).reshape(n, 2)
    return Comparisons(items=items, group=pool.group[items[:, 0]]), pool


def expected_error(answered: Comparisons) -> float:
    """Mean probability of the wrong answer, from the probability of the answer that was given."""
    wrong = np.where(answered.correct, 1 - answered.label_prob, answered.label_prob)
    return float(wrong[~answered.tie].mean())


def test_columns_agree_with_the_model_row_by_row():
    comparisons, pool = case(500)
    answered = Logistic(beta=1.7, scale=4.0)(comparisons, pool, np.random.default_rng(1))
    won, lost = pool.golden[answered.items].T
    np.testing.assert_array_equal(np.sort(answered.items, axis=1), np.sort(comparisons.items, axis=1))
    np.testing.assert_array_equal(answered.correct, won > lost)
    np.testing.assert_allclose(answered.margin, np.abs(won - lost))
    np.testing.assert_allclose(answered.label_prob, expit(1.7 * (won - lost) / 4.0))
    np.testing.assert_array_equal(answered.group, pool.group[answered.items[:, 0]])
    np.testing.assert_array_equal(answered.golden, pool.golden[answered.items])
    assert (answered.share == 1).all()
    assert 0 < answered.correct.mean() < 1
    assert not answered.tie.any()


def test_std_scale_is_the_pool_standard_deviation():
    comparisons, pool = case()
    by_name = Logistic(beta=2.0)(comparisons, pool, np.random.default_rng(0))
    by_value = Logistic(beta=2.0, scale=float(np.std(pool.golden)))(
        comparisons, pool, np.random.default_rng(0)
    )
    np.testing.assert_allclose(by_name.label_prob, by_value.label_prob)
    assert not np.allclose(
        by_name.label_prob, Logistic(2.0, 1.0)(comparisons, pool, np.random.default_rng(0)).label_prob
    )


def test_realised_errors_follow_the_probabilities():
    comparisons, pool = case(20000)
    answered = Logistic(beta=1.0)(comparisons, pool, np.random.default_rng(3))
    prob = expit(answered.margin / pool.golden.std())
    for low in (0.5, 0.6, 0.7, 0.8, 0.9):
        rows = (prob >= low) & (prob < low + 0.1)
        se = np.sqrt((prob * (1 - prob))[rows].sum()) / rows.sum()
        assert abs(answered.correct[rows].mean() - prob[rows].mean()) < 4 * se


@settings(max_examples=60, deadline=None)
@given(
    error=st.floats(1e-4, 0.4999),
    seed=st.integers(0, 1000),
    scale=st.sampled_from(["std", 0.01, 500.0]),
    spread=st.sampled_from([1e-6, 1.0, 1e6]),
    levels=st.sampled_from([None, 3, 30]),
)
def test_solved_beta_gives_the_requested_error(error, seed, scale, spread, levels):
    comparisons, pool = case(60, seed, levels)
    pool = Pool(pool.golden * spread, pool.group)
    answered = Logistic(error=error, scale=scale, keep_ties=True)(comparisons, pool, np.random.default_rng(0))
    assert expected_error(answered) == pytest.approx(error, rel=1e-6)


def test_solved_error_does_not_depend_on_scale_or_beta():
    comparisons, pool = case()
    one = Logistic(beta=None, scale=1.0, error=0.2)(comparisons, pool, np.random.default_rng(0))
    two = Logistic(beta=9.0, scale="std", error=0.2)(comparisons, pool, np.random.default_rng(0))
    np.testing.assert_allclose(one.label_prob, two.label_prob, rtol=1e-6)
    assert 1 - one.correct.mean() == pytest.approx(0.2, abs=0.04)


def test_equal_gaps_can_be_solved_for():
    pool = Pool(np.array([0.0, 1.0] * 50), np.arange(100))
    comparisons = Comparisons(items=np.arange(100).reshape(50, 2), group=np.arange(0, 100, 2))
    answered = Logistic(error=0.25)(comparisons, pool, np.random.default_rng(0))
    assert expected_error(answered) == pytest.approx(0.25)


@pytest.mark.parametrize(
    "noiseless", [Logistic(beta=None), Logistic(beta=1.0, error=0), Logistic(None, "std", 0.0)]
)
def test_noiseless_answers_follow_the_golden_order(noiseless):
    comparisons, pool = case()
    answered = noiseless(comparisons, pool, np.random.default_rng(0))
    assert (pool.golden[answered.items[:, 0]] > pool.golden[answered.items[:, 1]]).all()
    assert answered.correct.all()
    assert (answered.label_prob == 1).all()


def test_beta_zero_is_a_coin():
    comparisons, pool = case()
    answered = Logistic(beta=0.0)(comparisons, pool, np.random.default_rng(0))
    assert (answered.label_prob == 0.5).all()
    assert answered.correct.mean() == pytest.approx(0.5, abs=0.05)


def test_ties_are_dropped_unless_kept_and_do_not_change_other_answers():
    comparisons, pool = case(levels=4)
    n_ties = int((pool.golden[comparisons.items[:, 0]] == pool.golden[comparisons.items[:, 1]]).sum())
    assert n_ties > 100
    dropped = Logistic(error=0.3)(comparisons, pool, np.random.default_rng(0))
    kept = Logistic(error=0.3, keep_ties=True)(comparisons, pool, np.random.default_rng(0))
    assert len(comparisons) - len(dropped) == n_ties == kept.tie.sum()
    np.testing.assert_array_equal(dropped.items, kept.items[~kept.tie])
    np.testing.assert_array_equal(dropped.label_prob, kept.label_prob[~kept.tie])


def test_a_kept_tie_is_answered_by_a_coin_and_never_correct():
    comparisons, pool = case(levels=2)
    kept = Logistic(beta=None, keep_ties=True)(comparisons, pool, np.random.default_rng(0)).tie
    answered = Logistic(beta=None, keep_ties=True)(comparisons, pool, np.random.default_rng(0))
    first_kept = (answered.items[kept, 0] == comparisons.items[kept, 0]).mean()
    assert first_kept == pytest.approx(0.5, abs=0.06)
    assert (answered.label_prob[kept] == 0.5).all()
    assert (answered.margin[kept] == 0).all()
    assert not answered.correct[kept].any()


def test_an_answer_does_not_depend_on_which_item_was_shown_first():
    comparisons, pool = case(300)
    turned = Comparisons(items=comparisons.items[:, ::-1], group=pool.group[comparisons.items[:, 1]])
    answers = [Logistic()(given, pool, np.random.default_rng(0)).items for given in (comparisons, turned)]
    np.testing.assert_array_equal(*answers)


def test_weights_and_annotators_stay_with_their_rows():
    comparisons, pool = case(200, levels=3)
    tagged = Comparisons(
        comparisons.items, comparisons.group, weight=np.arange(200.0), annotator=np.arange(200)
    )
    answered = Logistic()(tagged, pool, np.random.default_rng(0))
    assert len(answered) < 200
    np.testing.assert_array_equal(
        np.sort(answered.items, axis=1), np.sort(comparisons.items[answered.annotator], axis=1)
    )
    np.testing.assert_array_equal(answered.weight, answered.annotator)


def test_answers_are_repeatable():
    comparisons, pool = case()
    first, again, other = (Logistic()(comparisons, pool, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.items, again.items)
    assert (first.items != other.items).any()


@pytest.mark.parametrize(
    "labels", [Logistic(), Logistic(error=0.1), Logistic(keep_ties=True), Logistic(None)]
)
def test_equal_golden_rewards_are_refused(labels):
    comparisons, pool = case(10)
    with pytest.raises(InputError, match="equal golden rewards"):
        labels(comparisons, Pool(np.ones(20), pool.group), np.random.default_rng(0))


def test_golden_rewards_that_are_not_finite_are_refused():
    comparisons, pool = case(10)
    pool.golden[3] = np.nan
    with pytest.raises(InputError, match="not finite"):
        Logistic()(comparisons, pool, np.random.default_rng(0))


def test_lists_of_three_are_refused():
    pool = Pool(np.arange(3.0), np.zeros(3, dtype=np.int64))
    with pytest.raises(ConfigError, match="answer pairs"):
        Logistic()(Comparisons(np.arange(3)[None], np.zeros(1)), pool, np.random.default_rng(0))


@pytest.mark.parametrize(
    "wrong",
    [{"beta": -1.0}, {"beta": np.nan}, {"scale": 0.0}, {"scale": "mad"}, {"error": 0.5}, {"error": -0.1}],
)
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .*: use"):
        Logistic(**wrong)
