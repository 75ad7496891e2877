"""Golden rewards in order for so many responses that the order of all is not held: block after block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from rmlab.metrics.base import RowNumbers, prompt_blocks
from rmlab.metrics.order import GoldenBlock, GoldenOrder, ScoreOrder, golden_block, score_block
from rmlab.metrics.rank_correlation import spearman_of


@dataclass(frozen=True, eq=False)
class StreamedOrder:
    """The blocks of a GoldenOrder, each made when it comes. golden, group: flat; rows: [m] those that count.

    Rows of a block are rows of the flat arrays.
    """

    golden: RowNumbers
    group: np.ndarray
    rows: np.ndarray

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(prompts [b], rows [b, K]), as prompt_blocks gives them."""
        for prompts, rows in prompt_blocks(self.group[self.rows]):
            yield prompts, self.rows[rows]

    @property
    def blocks(self) -> Iterator[GoldenBlock]:
        return (golden_block(self.golden, prompts, rows) for prompts, rows in self)

    @cached_property
    def sizes(self) -> np.ndarray:
        """[P] responses of each prompt."""
        count = np.bincount(self.group[self.rows])
        return count[count > 0]


def alone(block: GoldenBlock) -> GoldenOrder:
    """A block as an order of its own, its prompts numbered from 0."""
    n = len(block.prompts)
    return GoldenOrder(np.empty(0), np.empty(0), (replace(block, prompts=np.arange(n)),), n)


def order_of(scores: RowNumbers, truth: GoldenOrder) -> ScoreOrder:
    return ScoreOrder(truth, tuple(score_block(scores, block) for block in truth.blocks))


def streamed_spearman(scores: RowNumbers, order: StreamedOrder) -> np.ndarray:
    """[P] as `spearman` gives it."""
    found = np.full(len(order.sizes), np.nan)
    for block in order.blocks:
        found[block.prompts] = spearman_of(order_of(scores, alone(block)))
    return found
