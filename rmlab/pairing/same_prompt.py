"""Pairs of responses to the same prompt, the budget spread evenly over prompts."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rmlab.comparisons import Comparisons, Pool
from rmlab.errors import InputError

CELLS = 2**22  # candidate pairs held at once


@dataclass(frozen=True)
class SamePrompt:
    """n distinct pairs within prompts, dealt round-robin over the prompts in random order.

    choice decides which pairs of a prompt come first (ties in the order are broken at random):
    random: any; similar: adjacent golden ranks, then ranks two apart, and so on (equal golden scores
    are neighbours too); diverse: by decreasing golden gap.
    similar and diverse read the golden score, so they are study designs, not collection methods.
    Source: Sun, Shen & Ton 2025, "Rethinking Bradley-Terry Models" (arXiv 2411.04991).
    """

    choice: Literal["random", "similar", "diverse"] = "random"

    def __post_init__(self) -> None:
        if self.choice not in ("random", "similar", "diverse"):
            raise ValueError(f"choice is {self.choice!r}: use random, similar or diverse")

    def capacity(self, pool: Pool) -> int:
        _, size = np.unique(pool.group, return_counts=True)
        return int((size * (size - 1) // 2).sum())

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Comparisons:
        """n pairs: items [n, 2] int64 rows of the pool, unordered; its first rows are spread evenly too."""
        _check(pool, self.choice)
        order = np.lexsort((rng.random(len(pool)), pool.golden, pool.group))
        _, start, size = np.unique(pool.group[order], return_index=True, return_counts=True)
        turn = rng.permutation(len(size))
        start, size = start[turn], size[turn]
        quota = _quotas(size * (size - 1) // 2, n)

        found = []
        for block in _blocks(size, quota):
            rows = order[start[block][:, None] + np.arange(size[block[0]])]
            picked, prompt, turns = _pick(pool.golden[rows], self.choice, quota[block], rng)
            found.append((np.take_along_axis(rows[prompt], picked, axis=1), block[prompt], turns))
        items, prompts, turns = (np.concatenate(part) for part in zip(*found, strict=True))
        items = items[np.lexsort((prompts, turns))]
        items = rng.permuted(items, axis=1)  # which response is shown first is a coin's choice
        return Comparisons(items=items.astype(np.int64), group=pool.group[items[:, 0]])


def _check(pool: Pool, choice: str) -> None:
    if choice == "random":
        return
    if not np.isfinite(pool.golden).all():
        raise InputError("some golden rewards are not finite: annotate the responses again")
    if len(pool) and np.ptp(pool.golden) == 0:
        raise InputError(f"all golden rewards are equal: {choice} pairs need a reward that varies")


def _quotas(capacity: np.ndarray, n: int) -> np.ndarray:
    """capacity: [P] pairs a prompt has, in dealing order -> [P] pairs dealt to it, n in total."""
    total = int(capacity.sum())
    if n < 1:
        raise InputError(f"asked for {n} comparisons: ask for at least 1")
    if total == 0:
        raise InputError("every prompt has one response: sample at least 2, or use pairing=cross_prompt")
    if n > total:
        raise InputError(
            f"asked for {n} comparisons, but only {total} distinct same-prompt pairs exist: "
            "lower comparisons.n or sample more responses"
        )
    rounds = range(int(capacity.max()) + 1)
    full = bisect.bisect_right(rounds, n, key=lambda level: int(np.minimum(capacity, level).sum())) - 1
    quota = np.minimum(capacity, full)
    extra = np.flatnonzero(capacity > full)[: n - int(quota.sum())]
    quota[extra] += 1
    return quota


def _blocks(size: np.ndarray, quota: np.ndarray) -> list[np.ndarray]:
    """Prompts with pairs to choose, in blocks of equal size that hold at most CELLS candidate pairs."""
    blocks = []
    for k in np.unique(size[quota > 0]):
        prompts = np.flatnonzero((size == k) & (quota > 0))
        at_once = max(1, CELLS // int(k * (k - 1) // 2))
        blocks += [prompts[i : i + at_once] for i in range(0, len(prompts), at_once)]
    return blocks


def _pick(
    golden: np.ndarray, choice: str, quota: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """golden: [b, k] ascending -> columns [q, 2], the prompt [q] of the block and its round [q]."""
    low, high = np.triu_indices(golden.shape[1], 1)
    shuffle = rng.permutation(len(low))  # equal gaps must not favour any ranks
    low, high = low[shuffle], high[shuffle]
    if choice == "diverse":
        key = golden[:, low] - golden[:, high]
    else:
        key = rng.random((len(golden), len(low)))
        if choice == "similar":
            key += high - low
    width = int(quota.max())
    best = np.argpartition(key, width - 1, axis=1)[:, :width]
    best = np.take_along_axis(best, np.argsort(np.take_along_axis(key, best, axis=1), axis=1), axis=1)
    prompt, turns = np.nonzero(np.arange(width) < quota[:, None])
    pair = best[prompt, turns]
    return np.stack([low[pair], high[pair]], axis=1), prompt, turns
