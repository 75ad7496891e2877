from __future__ import annotations

import numpy as np
import pytest

from rmlab.metrics.conformal import AnsweredPairs, outcomes, threshold


def drawn(rng, n_prompts, per_prompt, one=False):
    """Pairs whose head is good on some prompts and bad on others; per_prompt pairs each, or one of them."""
    skill = rng.normal(0.5, 1.0, n_prompts)
    size = np.full(n_prompts, per_prompt)
    prompt = np.repeat(np.arange(n_prompts), size)
    behind = -(skill[prompt] + rng.normal(size=len(prompt)))  # of the truth
    truth = rng.random(len(prompt)) < 0.5
    pairs = AnsweredPairs(np.where(truth, -behind, behind), truth.astype(float), prompt)
    if one:
        keep = np.arange(n_prompts) * per_prompt
        pairs = AnsweredPairs(pairs.margin[keep], pairs.first[keep], pairs.prompt[keep])
    return pairs


@pytest.mark.parametrize("alpha", [0.1, 0.2])
def test_one_pair_a_prompt_is_split_conformal(alpha):
    pairs = drawn(np.random.default_rng(0), 25, 1)
    behind = np.sort(np.where(pairs.first == 1, -pairs.margin, pairs.margin))
    k = int(np.ceil(26 * (1 - alpha) - 1e-9))
    assert threshold(pairs, alpha) == max(0, behind[k - 1])


@pytest.mark.parametrize("per_prompt", [1, 12])
@pytest.mark.parametrize("alpha", [0.1, 0.2])
def test_the_truth_is_in_the_set_as_often_as_promised(alpha, per_prompt):
    """Over many splits into 19 calibration prompts and a new one; sets hold no more than they must."""
    rng, covered = np.random.default_rng(1), []
    for _ in range(6000):
        q = threshold(drawn(rng, 19, per_prompt), alpha)
        covered.append(outcomes(drawn(rng, 1, per_prompt), q)[0].mean())
    error = np.std(covered) / len(covered) ** 0.5
    assert 1 - alpha - 2.5 * error <= np.mean(covered) <= 1 - alpha + 2 / 20 + 2.5 * error
    if per_prompt == 1:  # without ties it is exact: 18 of 20, or 16 of 20, as q > 0 here nearly always
        assert np.mean(covered) == pytest.approx(1 - alpha, abs=0.012)


def test_pairs_that_are_taken_for_independent_cover_less():
    """Why prompts are weighted: where prompts with many pairs are the easy ones, theirs would decide for all."""
    rng, covered = np.random.default_rng(2), {"by prompt": [], "by pair": []}

    def world(n_prompts):
        size = rng.choice([1, 30], n_prompts)
        prompt = np.repeat(np.arange(n_prompts), size)
        margin = np.where(size == 30, 1.5, 0.0)[prompt] + rng.normal(size=len(prompt))
        return AnsweredPairs(margin, np.ones(len(prompt)), prompt)

    for _ in range(3000):
        pairs, new = world(19), world(1)
        alone = AnsweredPairs(pairs.margin, pairs.first, np.arange(len(pairs.margin)))
        for name, calibration in (("by prompt", pairs), ("by pair", alone)):
            covered[name].append(outcomes(new, threshold(calibration, 0.1))[0].mean())
    assert np.mean(covered["by prompt"]) > 0.89
    assert np.mean(covered["by pair"]) < 0.85


def test_a_perfect_head_decides_all_and_rightly():
    pairs = AnsweredPairs(np.array([1.0, 2, -3, 0.1] * 5), np.array([1.0, 1, 0, 1] * 5), np.arange(20))
    q = threshold(pairs, 0.1)
    assert q == 0
    np.testing.assert_array_equal(outcomes(pairs, q), np.ones((3, 20)))


def test_a_constant_head_abstains_and_too_few_prompts_decide_nothing():
    pairs = drawn(np.random.default_rng(0), 30, 2)
    flat = AnsweredPairs(np.zeros(60), pairs.first, pairs.prompt)
    np.testing.assert_array_equal(outcomes(flat, threshold(flat, 0.1))[:2].mean(axis=1), [1, 0])
    assert threshold(drawn(np.random.default_rng(0), 8, 5), 0.1) == np.inf
    assert threshold(drawn(np.random.default_rng(0), 9, 5), 0.1) < np.inf


def test_annotators_who_disagree_are_as_many_pairs_as_there_are_of_them():
    shares = AnsweredPairs(np.array([1.0, -2]), np.array([0.75, 0.5]), np.array([0, 1]))
    single = AnsweredPairs(
        np.repeat(shares.margin, 4), np.array([1.0, 1, 1, 0, 1, 1, 0, 0]), np.repeat([0, 1], 4)
    )
    for alpha in (0.35, 0.4, 0.5):
        assert threshold(shares, alpha) == threshold(single, alpha)
    found = outcomes(shares, 0.5)
    np.testing.assert_allclose(found, outcomes(single, 0.5).reshape(3, 2, 4).mean(axis=2))
    np.testing.assert_allclose(found, [[0.75, 0.5], [1, 1], [0.75, 0.5]])


def test_the_unit_of_scores_changes_nothing():
    pairs = drawn(np.random.default_rng(3), 40, 3)
    scaled = AnsweredPairs(pairs.margin * 7, pairs.first, pairs.prompt)
    assert threshold(scaled, 0.2) == pytest.approx(7 * threshold(pairs, 0.2))
