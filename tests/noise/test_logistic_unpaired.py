from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from rmlab.comparisons import Comparisons, Pool
from rmlab.errors import InputError
from rmlab.noise.error_report import noise_report
from rmlab.noise.logistic import Logistic


def singles(n: int = 4000, levels: int | None = None) -> tuple[Comparisons, Pool]:
    rng = np.random.default_rng(0)
    golden = rng.normal(2, 3, 2 * n) if levels is None else rng.integers(0, levels, 2 * n).astype(float)
    pool = Pool(golden, np.arange(2 * n) % 7)
    items = rng.permutation(2 * n)[:n, None]
    return Comparisons(items, pool.group[items[:, 0]], "unpaired"), pool


def test_good_has_the_probability_of_beating_the_threshold():
    comparisons, pool = singles()
    answered = Logistic(beta=1.5, scale=2.0)(comparisons, pool, np.random.default_rng(0))
    gap = answered.golden[:, 0] - np.median(pool.golden)
    good = expit(0.75 * gap)
    assert set(answered.share.tolist()) == {0.0, 1.0}
    np.testing.assert_array_equal(answered.items, comparisons.items)
    np.testing.assert_array_equal(answered.golden, pool.golden[answered.items])
    np.testing.assert_allclose(answered.label_prob, np.where(answered.share == 1, good, 1 - good))
    np.testing.assert_allclose(answered.margin, np.abs(gap))
    np.testing.assert_array_equal(answered.correct, (answered.share == 1) == (gap > 0))
    for rows in (good < 0.25, (good > 0.25) & (good < 0.75), good > 0.75):
        se = np.sqrt((good * (1 - good))[rows].sum()) / rows.sum()
        assert abs(answered.share[rows].mean() - good[rows].mean()) < 4 * se


def test_threshold_can_be_a_number():
    comparisons, pool = singles()
    answered = Logistic(beta=None, threshold=4.0)(comparisons, pool, np.random.default_rng(0))
    np.testing.assert_array_equal(answered.share == 1, answered.golden[:, 0] > 4.0)
    assert answered.correct.all()
    assert (answered.label_prob == 1).all()


@pytest.mark.parametrize("error", [1e-9, 0.1, 0.4999999])
def test_solved_beta_gives_the_error_over_single_responses(error):
    answered = Logistic(error=error)(*singles(), np.random.default_rng(0))
    wrong = np.where(answered.correct, 1 - answered.label_prob, answered.label_prob)
    assert wrong.mean() == pytest.approx(error, rel=1e-5)
    assert noise_report(answered)["error_rate"] == pytest.approx(error, abs=0.03)


def test_responses_at_the_threshold_are_ties():
    comparisons, pool = singles(levels=5)
    n_ties = int((pool.golden[comparisons.items] == np.median(pool.golden)).sum())
    dropped = Logistic()(comparisons, pool, np.random.default_rng(0))
    kept = Logistic(keep_ties=True)(comparisons, pool, np.random.default_rng(0))
    assert len(comparisons) - len(dropped) == n_ties == kept.tie.sum() > 0
    assert not kept.correct[kept.tie].any()
    assert (kept.label_prob[kept.tie] == 0.5).all()
    assert kept.share[kept.tie].mean() == pytest.approx(0.5, abs=0.08)
    np.testing.assert_array_equal(dropped.share, kept.share[~kept.tie])


def test_thresholds_that_judge_nothing_are_refused():
    comparisons, pool = singles()
    flat = Pool(np.ones(len(pool)), pool.group)
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="exactly the golden reward 1.0"):
        Logistic()(comparisons, flat, rng)
    with pytest.raises(InputError, match="all golden rewards are equal"):
        Logistic(threshold=0.0)(comparisons, flat, rng)
    assert Logistic(threshold=0.0, scale=1.0)(comparisons, flat, rng).share.mean() > 0.6
    for wrong in ("mean", np.nan, np.inf):
        with pytest.raises(ValueError, match="threshold is .*: use"):
            Logistic(threshold=wrong)
