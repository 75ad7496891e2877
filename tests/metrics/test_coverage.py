"""How often intervals over few prompts hold the truth: simulated, with known truths, at 10, 22 and 60 prompts."""

from __future__ import annotations

import numpy as np
import pytest

from rmlab.metrics.group_mean import group_means
from rmlab.metrics.intervals import Resamples

REPETITIONS = 3000  # a share near .95 is within .008 in 95 % of simulations
LEAST = 0.93
WORLDS = {  # values of P prompts, repeated; and their true mean
    "symmetric": (lambda rng, size: rng.normal(size=size), 0.0),
    "skewed": (lambda rng, size: rng.exponential(size=size), 1.0),
    "best of many": (lambda rng, size: rng.gumbel(size=size), np.euler_gamma),
    "accuracy of 15 pairs": (lambda rng, size: rng.binomial(15, rng.beta(4, 1.2, size)) / 15, 4 / 5.2),
    "difference of credits": (lambda rng, size: rng.choice([-1.0, 0, 1], size, p=[0.2, 0.5, 0.3]), 0.1),
}


def share(low, high, truth):
    return np.mean((low <= truth + 1e-12) & (truth - 1e-12 <= high))


@pytest.mark.parametrize("n_prompts", [10, 22, 60])
@pytest.mark.parametrize("world", WORLDS)
def test_intervals_hold_the_truth_as_often_as_they_say(world, n_prompts):
    draw, truth = WORLDS[world]
    values = draw(np.random.default_rng(n_prompts), (n_prompts, REPETITIONS))
    resamples = Resamples.draw(n_prompts, np.random.default_rng(1), 1000)
    _, low, high = resamples.intervals(values)
    means = resamples.counts.astype(float) @ values / n_prompts
    plain = share(*np.quantile(means, [0.025, 0.975], axis=0), truth)
    found = share(low, high, truth)
    print(f"{world}, {n_prompts} prompts: {found:.3f}, by plain percentiles {plain:.3f}")
    assert LEAST <= found <= 0.975
    assert plain < found
    if n_prompts == 10:
        assert plain < LEAST


@pytest.mark.parametrize("n_groups", [10, 22, 60])
def test_intervals_over_groups_of_unequal_size_hold_the_truth(n_groups):
    """Groups of 1 to 4 pairs, right with a probability of their own that is higher in larger groups."""
    rng, covered, plain = np.random.default_rng(n_groups), [], []
    truth = sum(k * (0.5 + 0.1 * k) for k in range(1, 5)) / 10
    resamples = Resamples.draw(n_groups, rng, 500)
    for _ in range(1500):
        size = rng.integers(1, 5, n_groups)
        group = np.repeat(np.arange(n_groups), size)
        chance = np.repeat(np.clip(0.5 + 0.1 * size + rng.uniform(-0.1, 0.1, n_groups), 0, 1), size)
        right = (rng.random(len(group)) < chance).astype(float)
        _, low, high = group_means(right[:, None], group, resamples)
        covered.append(share(low, high, truth))
        counts = resamples.counts.astype(float)
        means = counts @ np.bincount(group, right) / (counts @ size)
        plain.append(share(*np.quantile(means, [0.025, 0.975]), truth))
    print(f"{n_groups} groups: {np.mean(covered):.3f}, by plain percentiles {np.mean(plain):.3f}")
    assert LEAST <= np.mean(covered) <= 0.975
    assert np.mean(plain) < np.mean(covered)
