"""Accuracy: the share of same-prompt pairs that scores put in the golden order, over all pairs or a
sample."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rmlab.metrics.base import Runs
from rmlab.metrics.order import GoldenBlock, GoldenOrder, ScoreBlock, ScoreOrder


def pairwise_accuracy(scores: np.ndarray, golden: np.ndarray, group: np.ndarray) -> np.ndarray:
    """scores, golden, group: [m] -> [P], over all pairs of a prompt with different golden rewards.

    A pair of equal scores counts one half, as a coin would. Prompts as in np.unique(group); NaN where
    no pair has different golden rewards: count them. This is order consistency (arXiv 2411.04991).
    """
    return accuracy_of(ScoreOrder.of(scores, GoldenOrder.of(golden, group)))


def accuracy_of(order: ScoreOrder) -> np.ndarray:
    """[P], from scores that are sorted already."""
    return order.per_prompt(_accuracy)


def _accuracy(block: ScoreBlock) -> np.ndarray:
    untied = block.truth.pairs - block.truth.tied
    right = block.concordant + (block.tied - block.tied_twice) / 2
    return right / np.where(untied > 0, untied, np.nan)


class Blocks(Protocol):
    """A GoldenOrder or a StreamedOrder."""

    @property
    def blocks(self) -> Iterable[GoldenBlock]: ...


@dataclass(frozen=True)
class Drawn:
    """Pairs by number. prompt: [n] position of the prompt; number: [n] of its pairs, from 0."""

    prompt: np.ndarray
    number: np.ndarray

    @classmethod
    def of(cls, untied: np.ndarray, size: np.ndarray, most: int, rng: np.random.Generator) -> Drawn:
        """untied: [P] pairs that each prompt has; size: [P] responses, of which the fewest come first.

        Every pair where there are at most `most`, else so many of them, uniformly and without repetition.
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
        """Those of some prompts, of which place: [p] ascending are the positions -> which they are, and they
        themselves, the prompts numbered by where they stand in `place`."""
        at = np.searchsorted(place, self.prompt)
        which = np.flatnonzero(np.append(place, -1)[at] == self.prompt)
        return which, Drawn(at[which], self.number[which])


def untied_pairs(truth: Blocks, most: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """-> (first [n], second [n]) rows of the flat arrays, first < second; n <= most."""
    counts = [(block.prompts, untied_of(block), block.rows.shape[1]) for block in truth.blocks]
    untied, size = np.zeros((2, sum(len(prompts) for prompts, _, _ in counts)), np.int64)
    for prompts, of_each, n in counts:
        untied[prompts], size[prompts] = of_each, n
    return pairs_of(truth, Drawn.of(untied, size, most, rng))


def untied_of(block: GoldenBlock) -> np.ndarray:
    """[b] pairs of different golden rewards."""
    return block.pairs - block.tied


def pairs_of(truth: Blocks, drawn: Drawn) -> tuple[np.ndarray, np.ndarray]:
    """-> (first [n], second [n]) rows of the flat arrays, first < second.

    The pairs of a prompt are numbered, not listed: a response that is better than c others has c numbers,
    so the response of a number is found by bisection.
    """
    found = np.empty((2, len(drawn)), np.int64)
    for block in truth.blocks:
        which, here = drawn.among(block.prompts)
        worse = _worse(block).ravel()
        end, k = np.cumsum(worse), block.rows.shape[1]
        before = np.concatenate([[0], end[k - 1 :: k]])  # pairs of the prompts of the block before each
        number = before[here.prompt] + here.number
        better = np.searchsorted(end, number, side="right")
        other = better - better % k + number - (end[better] - worse[better])
        rows = block.rows.ravel()
        found[:, which] = np.sort(np.stack([rows[better], rows[other]]), axis=0)
    return found[0], found[1]


def _worse(block: GoldenBlock) -> np.ndarray:
    """[b, K] others of the prompt that are worse than each response."""
    return Runs.of(block.golden).first
