from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from rmlab.comparisons import Comparisons, Pool
from rmlab.errors import ConfigError, InputError
from rmlab.noise.base import Reporting
from rmlab.noise.crowd import Crowd, fleiss_kappa
from rmlab.noise.logistic import solve_beta

ERRORS = [0.05, 0.2, 0.35, 0.0]


def crowd_pairs(n: int = 6000, levels: int | None = None) -> tuple[Comparisons, Pool]:
    rng = np.random.default_rng(0)
    golden = rng.normal(2, 3, 2 * n) if levels is None else rng.integers(0, levels, 2 * n).astype(float)
    pool = Pool(golden, np.arange(2 * n) % 31)
    items = rng.permutation(2 * n).reshape(n, 2)
    return Comparisons(items, pool.group[items[:, 0]], weight=np.arange(n, dtype=float)), pool


def prob_right(comparisons: Comparisons, pool: Pool) -> np.ndarray:
    """[n, A] by the definition: each annotator's own beta."""
    gap = np.abs(np.diff(pool.golden[comparisons.items], axis=1)[:, 0])
    return np.stack([expit(solve_beta(gap, e) * gap) if e else np.ones(len(gap)) for e in ERRORS], axis=1)


def test_each_annotator_errs_at_its_own_rate():
    comparisons, pool = crowd_pairs()
    answered = Crowd(ERRORS, merge="rows")(comparisons, pool, np.random.default_rng(0))
    assert len(answered) == 4 * len(comparisons)
    for annotator, error in enumerate(ERRORS):
        rows = answered.take(answered.annotator == annotator)
        assert len(rows) == len(comparisons)
        assert abs((~rows.correct).mean() - error) <= 4 * np.sqrt(error * (1 - error) / len(rows))
        wrong = np.where(rows.correct, 1 - rows.label_prob, rows.label_prob)
        assert wrong.mean() == pytest.approx(error, rel=1e-6)


def test_rows_are_answers_of_the_pairs_in_their_order():
    comparisons, pool = crowd_pairs(500)
    answered = Crowd(ERRORS, per_comparison=2, merge="rows")(comparisons, pool, np.random.default_rng(0))
    np.testing.assert_array_equal(
        np.sort(answered.items, axis=1), np.repeat(np.sort(comparisons.items, axis=1), 2, axis=0)
    )
    assert (answered.annotator[::2] < answered.annotator[1::2]).all()  # two different ones
    np.testing.assert_array_equal(answered.weight, np.repeat(comparisons.weight, 2))
    np.testing.assert_array_equal(answered.golden, pool.golden[answered.items])
    np.testing.assert_array_equal(answered.correct, answered.golden[:, 0] > answered.golden[:, 1])
    assert (answered.share == 1).all()


def test_all_annotators_are_asked_equally_often():
    comparisons, pool = crowd_pairs(4000)
    answered = Crowd(ERRORS, per_comparison=1, merge="rows")(comparisons, pool, np.random.default_rng(0))
    assert len(answered) == 4000
    assert np.abs(np.bincount(answered.annotator) - 1000).max() < 130


def test_rows_and_shares_are_the_same_votes():
    comparisons, pool = crowd_pairs(800)
    rows, shares, majority = (
        Crowd(ERRORS, 3, merge)(comparisons, pool, np.random.default_rng(4))
        for merge in ("rows", "share", "majority")
    )
    right = rows.correct.reshape(-1, 3).sum(axis=1)
    np.testing.assert_array_equal(shares.correct, right >= 2)
    np.testing.assert_allclose(shares.share, np.maximum(right, 3 - right) / 3)
    mean = np.where(rows.correct, rows.label_prob, 1 - rows.label_prob).reshape(-1, 3).mean(axis=1)
    np.testing.assert_allclose(shares.label_prob, np.where(shares.correct, mean, 1 - mean))
    np.testing.assert_array_equal(shares.weight, comparisons.weight)
    np.testing.assert_array_equal(majority.items, shares.items)
    assert (majority.share == 1).all()


def test_even_votes_are_a_coin_or_dropped():
    comparisons, pool = crowd_pairs()
    shares, of_shares = Crowd(ERRORS[1:3])(comparisons, pool, np.random.default_rng(0)), Crowd(ERRORS[1:3])
    report = of_shares.answers(comparisons, pool, np.random.default_rng(0))[1]
    even = shares.share == 0.5
    assert report["n_even_votes"] == even.sum() > 500
    assert report["n_dropped_ties"] == 0
    assert shares.correct[even].mean() == pytest.approx(0.5, abs=0.06)
    kept, report = Crowd(ERRORS[1:3], merge="majority").answers(comparisons, pool, np.random.default_rng(0))
    np.testing.assert_array_equal(kept.items, shares.items[~even])
    assert report["n_dropped_ties"] == even.sum()


def test_majority_errs_as_the_sum_over_votes_says():
    comparisons, pool = crowd_pairs(20_000)
    p = prob_right(comparisons, pool)[:, :3]
    a, b, c = p.T
    expected = (a * b * c + a * b * (1 - c) + a * (1 - b) * c + (1 - a) * b * c).mean()
    answered = Crowd(ERRORS[:3], merge="majority")(comparisons, pool, np.random.default_rng(0))
    assert abs(answered.correct.mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / 20_000)


@pytest.mark.parametrize("merge", ["rows", "share", "majority"])
def test_agreement_is_what_the_annotators_probabilities_say(merge):
    comparisons, pool = crowd_pairs(20_000)
    p = prob_right(comparisons, pool)
    first, second = np.triu_indices(4, 1)
    agree = (p[:, first] * p[:, second] + (1 - p[:, first]) * (1 - p[:, second])).mean()
    answered, report = Crowd(ERRORS, 3, merge).answers(comparisons, pool, np.random.default_rng(1))
    assert report["pairwise_agreement"] == pytest.approx(agree, abs=0.01)
    assert report["fleiss_kappa"] == pytest.approx(2 * agree - 1, abs=0.02)  # either side half the time
    assert report["n_answers"] == 60_000
    same = Crowd(ERRORS, 3, merge)(comparisons, pool, np.random.default_rng(1))
    np.testing.assert_array_equal(answered.items, same.items)


def test_report_is_that_of_the_votes_for_the_sides_shown():
    comparisons, pool = crowd_pairs(300)
    answered, report = Crowd(ERRORS, 3, "rows").answers(comparisons, pool, np.random.default_rng(0))
    for_first = (answered.items[:, 0] == np.repeat(comparisons.items[:, 0], 3)).reshape(-1, 3).sum(axis=1)
    assert report["fleiss_kappa"] == pytest.approx(fleiss_kappa(np.stack([for_first, 3 - for_first], axis=1)))


def test_golden_ties_are_dropped_and_counted():
    comparisons, pool = crowd_pairs(1000, levels=3)
    n_ties = int((np.diff(pool.golden[comparisons.items], axis=1) == 0).sum())
    for merge, rows in (("rows", 2), ("share", 1)):
        answered, report = Crowd([0.1, 0.2], None, merge).answers(comparisons, pool, np.random.default_rng(0))
        assert report["n_dropped_ties"] == n_ties > 100
        assert report["n_annotated"] == 2 * 1000 == report["n_answers"] + 2 * n_ties
        assert len(answered) == (1000 - n_ties) * rows
        assert not answered.tie.any()


def test_one_annotator_is_a_crowd_without_agreement():
    comparisons, pool = crowd_pairs(100)
    answered, report = Crowd([0.2]).answers(comparisons, pool, np.random.default_rng(0))
    assert (answered.share == 1).all()
    assert np.isnan(report["pairwise_agreement"]) and np.isnan(report["fleiss_kappa"])


def test_labels_with_a_report_can_be_told_apart():
    assert isinstance(Crowd([0.1]), Reporting)


def test_what_a_crowd_cannot_answer_is_refused():
    comparisons, pool = crowd_pairs(10)
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="equal golden rewards"):
        Crowd([0.1])(comparisons, Pool(np.ones(20), pool.group), rng)
    with pytest.raises(ConfigError, match="answer pairs"):
        Crowd([0.1])(Comparisons(np.arange(3)[None], np.zeros(1), "list"), pool, rng)


@pytest.mark.parametrize(
    "wrong",
    [
        {"errors": []},
        {"errors": [0.5]},
        {"errors": [np.nan]},
        {"per_comparison": 0},
        {"per_comparison": 3},
        {"merge": "mean"},
    ],
)
def test_wrong_crowd_parameters_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .*: use"):
        Crowd(**{"errors": [0.1, 0.2], **wrong})


def test_settled_annotators_err_less_often_where_gaps_are_larger():
    comparisons, pool = crowd_pairs()
    gap = np.abs(np.diff(pool.golden[comparisons.items], axis=1)[:, 0])
    order = np.argsort(gap)
    narrow, wide = comparisons.take(order[:3000]), comparisons.take(order[3000:])
    crowd = Crowd([0.2, 0.0], merge="rows").settled(narrow, pool)
    assert crowd.betas == [pytest.approx(solve_beta(gap[order[:3000]], 0.2)), None]
    answered = crowd(wide, pool, np.random.default_rng(1))
    first = answered.take(answered.annotator == 0)
    expected = expit(-crowd.betas[0] * gap[order[3000:]]).mean()
    assert expected < 0.1  # where solving anew would make it 0.2
    assert abs((~first.correct).mean() - expected) <= 4 * np.sqrt(expected / 3000)
    same, plain = (
        c(narrow, pool, np.random.default_rng(2)) for c in (crowd, Crowd([0.2, 0.0], merge="rows"))
    )
    np.testing.assert_array_equal(same.correct, plain.correct)
    np.testing.assert_allclose(same.label_prob, plain.label_prob)


@pytest.mark.parametrize("betas", [[1.0], [1.0, -1.0], [float("inf"), 1.0]])
def test_betas_are_one_for_each_annotator(betas):
    with pytest.raises(ValueError, match="betas is"):
        Crowd([0.1, 0.2], betas=betas)
