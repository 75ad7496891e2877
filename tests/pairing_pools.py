"""Pools of responses for the tests of pairings across prompts."""

from __future__ import annotations

import itertools

import numpy as np

from rmlab.comparisons import Pool


def make_pool(sizes: list[int], seed: int, levels: int = 1000) -> Pool:
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(len(sizes)) * 5 - 2, sizes))
    golden = rng.integers(0, levels, len(group)).astype(float)
    golden[0] += 0.5  # never all equal
    return Pool(golden=golden, group=group)


def all_cross_pairs(group: np.ndarray) -> set[tuple[int, int]]:
    return {(i, j) for i, j in itertools.combinations(range(len(group)), 2) if group[i] != group[j]}
