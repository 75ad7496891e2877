"""Accuracy, the share of same-prompt pairs that scores put in the golden order, and samples of such pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rmlab.metrics.order import GoldenOrder, Runs, ScoreBlock, ScoreOrder


def pairwise_accuracy(order: ScoreOrder) -> np.ndarray:
    """Returns the accuracy over all pairs of a prompt with different golden rewards, [P].

    A pair of equal scores counts one half, the expectation of a random choice. NaN where no pair has
    different golden rewards: count these prompts. This is order consistency (arXiv 2411.04991).
    """

    def measure(block: ScoreBlock) -> np.ndarray:
        right = block.concordant + (block.tied - block.tied_twice) / 2
        return right / np.where(block.truth.untied > 0, block.truth.untied, np.nan)

    return order.per_prompt(measure)


@dataclass(frozen=True)
class Drawn:
    """A sample of pairs. prompt: [n] position of the prompt; number: [n], which of its pairs, from 0."""

    prompt: np.ndarray
    number: np.ndarray

    @classmethod
    def of(cls, untied: np.ndarray, size: np.ndarray, most: int, rng: np.random.Generator) -> Drawn:
        """Takes every pair if there are at most `most`, else draws so many uniformly without replacement.

        untied: [P] pairs of each prompt; size: [P] responses; prompts with the fewest come first.
        """
        order = np.argsort(size, kind="stable")
        n, end = int(untied.sum()), np.cumsum(untied[order])
        chosen = np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False, shuffle=False))
        at = np.searchsorted(end, chosen, side="right")
        prompt = order[at]
        return cls(prompt, chosen - (end[at] - untied[prompt]))

    def __len__(self) -> int:
        return len(self.prompt)

    def among(self, place: np.ndarray) -> tuple[np.ndarray, Drawn]:
        """Returns which of the pairs belong to some prompts, and these pairs.

        place: [p], the positions of the prompts, ascending; in the result prompts are positions in `place`.
        """
        at = np.searchsorted(place, self.prompt)
        which = np.flatnonzero(np.append(place, -1)[at] == self.prompt)
        return which, Drawn(at[which], self.number[which])


def untied_pairs(truth: GoldenOrder, most: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws at most `most` untied pairs: (first [n], second [n]) rows of the flat arrays, first < second."""
    counts = [(block.prompts, block.untied, block.rows.shape[1]) for block in truth.blocks]
    untied, size = np.zeros((2, sum(len(prompts) for prompts, _, _ in counts)), np.int64)
    for prompts, of_each, n in counts:
        untied[prompts], size[prompts] = of_each, n
    return pairs_of(truth, Drawn.of(untied, size, most, rng))


def pairs_of(truth: GoldenOrder, drawn: Drawn) -> tuple[np.ndarray, np.ndarray]:
    """Returns the responses of drawn pairs: (first [n], second [n]) rows of the flat arrays, first < second.

    The pairs of a prompt are numbered, not listed: a response that is better than c others has c consecutive
    numbers, so the response of a number is found by bisection.
    """
    found = np.empty((2, len(drawn)), np.int64)
    for block in truth.blocks:
        which, here = drawn.among(block.prompts)
        worse = Runs.of(block.golden).first.ravel()  # how many of its prompt are worse than each response
        end, k = np.cumsum(worse), block.rows.shape[1]
        before = np.concatenate([[0], end[k - 1 :: k]])  # pairs of the earlier prompts of the block
        number = before[here.prompt] + here.number
        better = np.searchsorted(end, number, side="right")
        other = better - better % k + number - (end[better] - worse[better])
        rows = block.rows.ravel()
        found[:, which] = np.sort(np.stack([rows[better], rows[other]]), axis=0)
    return found[0], found[1]
