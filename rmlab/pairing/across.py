"""Pairs whose two responses answer different prompts: how many there are, and chosen responses re-paired."""

from __future__ import annotations

import numpy as np

from rmlab.comparisons import Pool
from rmlab.errors import InputError
from rmlab.pairing.base import random_order

SHUFFLES = 50
PASSES = 20  # over the pairs that are still to be mended


def n_cross_pairs(pool: Pool) -> int:
    """Distinct pairs of responses to different prompts: all pairs less those within prompts."""
    _, size = np.unique(pool.group, return_counts=True)
    return (len(pool) * (len(pool) - 1) - int((size * (size - 1)).sum())) // 2


def across_prompts(items: np.ndarray, pool: Pool, rng: np.random.Generator) -> np.ndarray:
    """items [n, 2], distinct pairs within prompts -> [n, 2], distinct pairs across prompts.

    The responses are the same, each in as many pairs as before: a coin says which of a row's two responses
    stays, and the others are shuffled among the rows. A row that then joins a prompt with itself, or repeats
    a pair, exchanges its second response with a row drawn from those with which neither row then joins a
    prompt with itself. There is one as long as no prompt has more than half of the pairs: each pair of a
    prompt has two of its responses, and each of these needs a pair of its own. All is shuffled anew where
    pairs keep repeating.
    """
    n, group = len(items), pool.group
    if n == 0 or 2 * np.unique(group[items[:, 0]], return_counts=True)[1].max() > n:
        raise InputError(
            f"one prompt has more than half of the {n} pairs that were chosen within prompts, so that they "
            "cannot be joined across prompts: add prompts with two responses or more"
        )
    for _ in range(SHUFFLES):
        first, second = random_order(items, rng).T
        second = second[rng.permutation(n)]
        for _ in range(PASSES):
            wrong = _wrong_rows(first, second, group)
            if len(wrong) == 0:
                return np.stack([first, second], axis=1)
            for row in wrong:
                joins_two = (group[second] != group[first[row]]) & (group[first] != group[second[row]])
                other = rng.choice(np.flatnonzero(joins_two))
                second[[row, other]] = second[[other, row]]
    raise InputError(
        f"no {n} distinct pairs across prompts were found among the chosen responses: lower comparisons.n or "
        "sample more responses"
    )


def _wrong_rows(first: np.ndarray, second: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Rows that join a prompt with itself, and those whose pair an earlier row has."""
    is_wrong = group[first] == group[second]
    pairs = np.sort(np.stack([first, second], axis=1), axis=1)
    is_repeat = np.ones(len(first), dtype=bool)
    is_repeat[np.unique(pairs, axis=0, return_index=True)[1]] = False
    return np.flatnonzero(is_wrong | is_repeat)
