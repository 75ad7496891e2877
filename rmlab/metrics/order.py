"""Golden rewards and scores of a split in order, prompt by prompt: sorted once, read by every metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rmlab.errors import InputError

CELLS = 2**18  # responses in a block: they fit the processor's cache


def prompt_blocks(group: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (prompts [b], rows [b, K]) for blocks of prompts with K responses each. group: [m] prompt ids.

    prompts are positions in np.unique(group); rows index the flat arrays.
    """
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    start = np.flatnonzero(np.concatenate([[len(group) > 0], ordered[1:] != ordered[:-1]]))
    size = np.diff(start, append=len(group))
    del ordered  # frees the memory
    for k in np.unique(size):
        prompts = np.flatnonzero(size == k)
        at_once = max(1, CELLS // int(k))
        for i in range(0, len(prompts), at_once):
            block = prompts[i : i + at_once]
            yield block, order[start[block][:, None] + np.arange(k)]


@dataclass(frozen=True)
class Runs:
    """Runs of equal values in sorted rows. new: [b, K] bool, where a run begins; True in the first column."""

    new: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Runs:
        """Finds the runs. values: [b, K], each row sorted."""
        new = np.ones(values.shape, dtype=bool)
        np.not_equal(values[:, 1:], values[:, :-1], out=new[:, 1:])
        return cls(new)

    @property
    def any_tied(self) -> bool:
        return not self.new.all()

    @property
    def first(self) -> np.ndarray:
        """The column in which the run of each cell begins, [b, K]: how many of its row are strictly lower."""
        column = np.arange(self.new.shape[1])
        return np.maximum.accumulate(np.where(self.new, column, 0), axis=1)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Returns each value replaced by the mean over its run, [b, K]. values: [b, K]."""
        if not self.any_tied:
            return values
        start = np.flatnonzero(self.new)
        size = np.diff(start, append=self.new.size)
        mean = np.add.reduceat(values.ravel(), start) / size
        return np.repeat(mean, size).reshape(values.shape)

    def tied_pairs(self) -> np.ndarray:
        """Returns the number of pairs of equal values, the sum over runs of t (t - 1) / 2, [b]."""
        return self._within().sum(axis=1)

    def tie_cubes(self) -> np.ndarray:
        """Returns the sum over runs of t^3 - t, by which ties lower 12 times the variance of ranks, [b]."""
        within = self._within()
        return 3 * (within * (within + 1)).sum(axis=1)

    def _within(self) -> np.ndarray:
        """Returns the position within the run, from 0, [b, K], or a column of zeros without ties."""
        if not self.any_tied:
            return np.zeros((len(self.new), 1), dtype=np.int64)
        return np.arange(self.new.shape[1]) - self.first


@dataclass(frozen=True)
class GoldenBlock:
    """Prompts with K responses each; in every array the columns ascend by golden reward.

    prompts: [b] positions in np.unique(group); rows: [b, K] into the flat arrays; golden: [b, K].
    quantile: [b, K] share of the prompt's other responses that are worse, ties half: the mid-rank from
    0 (worst) to 1 (best), mean 1/2; NaN where there is no other.
    level: [b, K] int, number of the distinct value, from 0; None where no two are equal.
    tied: [b] pairs of equal golden rewards; tie_cubes: [b] sum over ties of t^3 - t.
    """

    prompts: np.ndarray
    rows: np.ndarray
    golden: np.ndarray
    quantile: np.ndarray
    level: np.ndarray | None
    tied: np.ndarray
    tie_cubes: np.ndarray

    @property
    def pairs(self) -> int:
        """K (K - 1) / 2."""
        k = self.rows.shape[1]
        return k * (k - 1) // 2

    @property
    def untied(self) -> np.ndarray:
        """[b] pairs of different golden rewards."""
        return np.asarray(self.pairs - self.tied)


@dataclass(frozen=True)
class GoldenOrder:
    """golden, group: [m] flat; blocks: their prompts; n_prompts: P, prompts as in np.unique(group)."""

    golden: np.ndarray
    group: np.ndarray
    blocks: tuple[GoldenBlock, ...]
    n_prompts: int

    @classmethod
    def of(cls, golden: np.ndarray, group: np.ndarray) -> GoldenOrder:
        blocks = tuple(golden_block(golden, prompts, rows) for prompts, rows in prompt_blocks(group))
        return cls(golden, group, blocks, sum(len(b.prompts) for b in blocks))

    @property
    def fewest(self) -> int:
        """The most responses that every prompt has."""
        return min(block.rows.shape[1] for block in self.blocks)


def golden_block(golden: np.ndarray, prompts: np.ndarray, rows: np.ndarray) -> GoldenBlock:
    values = golden[rows]
    if np.isnan(values).any():
        raise InputError("scores or golden rewards hold NaN: score the responses again")
    order = np.argsort(values, axis=1, kind="stable")
    rows = np.take_along_axis(rows, order, 1)
    ordered, k = np.take_along_axis(values, order, 1), rows.shape[1]
    runs = Runs.of(ordered)
    level = np.cumsum(runs.new, axis=1, dtype=np.int32) - 1 if runs.any_tied else None
    rank = np.broadcast_to(np.arange(k, dtype=np.float64), rows.shape)
    quantile = runs.mean(rank) / (k - 1) if k > 1 else np.full(rows.shape, np.nan)
    return GoldenBlock(prompts, rows, ordered, quantile, level, runs.tied_pairs(), runs.tie_cubes())


def inversions(permutations: np.ndarray) -> np.ndarray:
    """permutations: [b, K], each row of 0..K-1 -> [b] int64, pairs i < j with row[i] > row[j].

    Bit by bit from the highest: among the numbers that agree in the higher bits, kept in their order, a
    number with a 0 is inverted with every number with a 1 before it, which is its place less the place
    it gets among the zeros. O(K log K); ranges that are filled up to a power of two add no inversion.
    """
    b, k = permutations.shape
    bits = max(k - 1, 0).bit_length()
    full = np.empty((b, 1 << bits), dtype=np.int16 if bits < 15 else np.int64)
    full[:, :k], full[:, k:] = permutations, np.arange(k, 1 << bits)
    found = np.zeros(b, dtype=np.int64)
    for bit in range(bits - 1, -1, -1):
        half = 1 << bit
        one = (full & half) != 0
        groups = full.shape[1] // (2 * half)
        place = np.tile(np.arange(2 * half, dtype=np.float64), groups)
        zeros_stand = place.sum() - one @ place  # float64 holds these sums exactly below 2^53
        found += np.rint(zeros_stand).astype(np.int64) - groups * (half * (half - 1) // 2)
        if bit:
            low, high = full[~one].reshape(b, groups, half), full[one].reshape(b, groups, half)
            full = np.concatenate([low, high], axis=2).reshape(b, -1)
    return found


@dataclass(frozen=True)
class ScoreBlock:
    """A block of prompts by score, worst first; equal scores by golden reward, worst first.

    order: [b, K] columns of `truth`; scores: [b, K] and runs, their ties, in this order.
    """

    truth: GoldenBlock
    order: np.ndarray
    scores: np.ndarray
    runs: Runs

    def by_score(self, values: np.ndarray) -> np.ndarray:
        """values: [b, K] in golden order -> [b, K] in the order of scores, ties at their mean."""
        return self.runs.mean(np.take_along_axis(values, self.order, 1))

    @cached_property
    def quantile(self) -> np.ndarray:
        """[b, K] golden quantiles in the order of scores."""
        return self.by_score(self.truth.quantile)

    @cached_property
    def tied(self) -> np.ndarray:
        """[b] pairs of equal scores."""
        return self.runs.tied_pairs()

    @property
    def is_constant(self) -> np.ndarray:
        """[b] all scores of the prompt are equal."""
        return np.asarray(self.tied == self.truth.pairs)

    @property
    def has_order(self) -> np.ndarray:
        """[b] some golden rewards of the prompt differ."""
        return np.asarray(self.truth.tied < self.truth.pairs)

    @cached_property
    def discordant(self) -> np.ndarray:
        """[b] pairs that scores and golden rewards put in opposite orders."""
        if self.truth.level is None:
            return inversions(self.order)
        # Equal golden rewards are numbered in the order of the scores, so that they are no inversion.
        return inversions(np.argsort(self._level(self.truth.level), axis=1, kind="stable"))

    @cached_property
    def concordant(self) -> np.ndarray:
        """[b] pairs that scores and golden rewards put in the same order."""
        untied = self.truth.pairs - self.tied - self.truth.tied + self.tied_twice
        return untied - self.discordant

    @cached_property
    def tied_twice(self) -> np.ndarray:
        """[b] pairs with equal scores and equal golden rewards."""
        if self.truth.level is None or not self.runs.any_tied:
            return np.zeros(len(self.order), dtype=np.int64)
        return Runs(self.runs.new | Runs.of(self._level(self.truth.level)).new).tied_pairs()

    def _level(self, level: np.ndarray) -> np.ndarray:
        # 16 bits where they suffice: numpy then sorts by digits
        narrow = level.astype(np.int16) if level.shape[1] < 2**15 else level
        return np.take_along_axis(narrow, self.order, 1)


@dataclass(frozen=True)
class ScoreOrder:
    truth: GoldenOrder
    blocks: tuple[ScoreBlock, ...]

    @classmethod
    def of(cls, scores: np.ndarray, truth: GoldenOrder) -> ScoreOrder:
        """scores: [m], flat as the golden rewards of `truth`."""
        return cls(truth, tuple(score_block(scores, block) for block in truth.blocks))

    @classmethod
    def flat(cls, scores: np.ndarray, golden: np.ndarray, group: np.ndarray) -> ScoreOrder:
        """scores, golden, group: [m]; prompts are those of np.unique(group)."""
        return cls.of(scores, GoldenOrder.of(golden, group))

    def per_prompt(self, measure: Callable[[ScoreBlock], np.ndarray]) -> np.ndarray:
        """measure: block -> [b] or [b, N]; the result is [P] or [P, N], prompts as in np.unique(group)."""
        parts = [(block.truth.prompts, measure(block)) for block in self.blocks]
        if not parts:
            return np.empty(0)
        result = np.full((self.truth.n_prompts, *parts[0][1].shape[1:]), np.nan)
        for prompts, values in parts:
            result[prompts] = values
        return result


def score_block(scores: np.ndarray, truth: GoldenBlock) -> ScoreBlock:
    mine = scores[truth.rows]
    if np.isnan(mine).any():
        raise InputError("scores or golden rewards hold NaN: score the responses again")
    order = np.argsort(mine, axis=1, kind="stable")
    mine = np.take_along_axis(mine, order, 1)
    return ScoreBlock(truth, order, mine, Runs.of(mine))
