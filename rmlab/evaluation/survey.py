"""What is known of every prompt before any head is judged: a few numbers each, whatever its responses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmlab.config.settings import Validation
from rmlab.data.splits import validation_groups
from rmlab.evaluation.controls import ShortcutSigns, surface_of
from rmlab.evaluation.cuts import Cut, Cuts
from rmlab.metrics.accuracy import untied_of
from rmlab.metrics.streamed_order import StreamedOrder, streamed_spearman
from rmlab.responses.table import Responses
from rmlab.responses.texts import Exchanges


@dataclass(frozen=True, eq=False)
class Survey:
    """Prompts in the order of the cuts, and of their ids within each. first: [cuts + 1] where those of a cut
    begin; rank: [P] place in the order of the ids of all; groups: [P].

    size: responses; untied: pairs of different golden scores; mean: of the golden scores; squares: sum of
    their squares about it; by_length, by_overlap: Spearman correlation with them within a train prompt.
    n_failed, n_failed_test: responses without golden scores.
    """

    first: np.ndarray
    rank: np.ndarray
    groups: pa.Array
    n_failed: int
    n_failed_test: int
    size: np.ndarray
    untied: np.ndarray
    mean: np.ndarray
    squares: np.ndarray
    is_test: np.ndarray
    by_length: np.ndarray
    by_overlap: np.ndarray

    @classmethod
    def of(cls, cuts: Cuts, exchanges: Exchanges, advance: Callable[[int], None]) -> Survey:
        names, groups, numbers, failed = [], [], [], np.zeros(2, int)
        for cut in cuts.all:
            responses = cuts.responses(cut)
            names.append(pa.array(responses.distinct_prompts, pa.string()))
            groups.append(pa.array(responses.distinct_groups, pa.string()))
            numbers.append(_numbers(responses, exchanges, cut.parts, advance))
            failed += responses.n_failed, responses.n_failed_test
            del responses  # before the next are read
        first = np.cumsum([0, *map(len, names)])
        rank = np.empty(first[-1], np.int64)
        rank[pc.array_sort_indices(pa.concat_arrays(names)).to_numpy()] = np.arange(first[-1])
        columns = [np.concatenate(column) for column in zip(*numbers, strict=True)]
        n_failed, n_failed_test = failed.tolist()
        return cls(first, rank, pa.concat_arrays(groups), n_failed, n_failed_test, *columns)

    def is_validation(self, how: Validation) -> np.ndarray:
        """[P] bool"""
        train = self.in_order(~self.is_test)
        groups = self.groups.take(pa.array(train)).to_pylist()
        kept = validation_groups(groups, how.fraction, how.seed)
        found = np.zeros(len(self.rank), dtype=bool)
        found[train] = [group in kept for group in groups]
        return found

    def in_order(self, mask: np.ndarray) -> np.ndarray:
        """The prompts of a mask [P] in the order of their ids."""
        prompts = np.flatnonzero(mask)
        return prompts[np.argsort(self.rank[prompts])]

    def of_rows(self, mask: np.ndarray, cut: Cut, responses: Responses) -> np.ndarray:
        """mask: [P] -> [m] of the responses of a cut, whether it is true of their prompts."""
        return mask[self.first[cut.number] + responses.group]

    def n_responses(self, mask: np.ndarray) -> np.ndarray:
        """[cuts] how many responses of each cut a mask [P] is true of."""
        return np.add.reduceat(np.append(self.size * mask, 0), self.first[:-1]) * (np.diff(self.first) > 0)

    def directions(self, fitted: np.ndarray) -> ShortcutSigns:
        """fitted: [P] bool, the train prompts that count."""
        prompts = self.in_order(fitted)
        return ShortcutSigns.of(self.by_length[prompts], self.by_overlap[prompts])

    def golden(self, prompts: np.ndarray) -> tuple[float, float]:
        """Mean and deviation of the golden scores of all responses to some prompts."""
        size, mean = self.size[prompts], self.mean[prompts]
        middle = float(size @ mean / size.sum())
        squares = self.squares[prompts].sum() + size @ (mean - middle) ** 2
        return middle, float(np.sqrt(squares / size.sum()))


def _numbers(
    responses: Responses, exchanges: Exchanges, parts: range, advance: Callable[[int], None]
) -> tuple[np.ndarray, ...]:
    """Of the prompts of a cut: size, untied, mean, squares, is_test, by_length, by_overlap."""
    golden, group = responses.golden, responses.group
    order = StreamedOrder(golden, group, np.arange(len(golden), dtype=np.int32))
    n = len(order.sizes)
    untied, is_test = np.zeros(n, np.int64), np.zeros(n, dtype=bool)
    is_test[group] = responses.is_test
    mean, squares, by_length, by_overlap = np.full((4, n), np.nan)
    for block in order.blocks:
        middle = block.golden.mean(axis=1)
        untied[block.prompts], mean[block.prompts] = untied_of(block), middle
        squares[block.prompts] = ((block.golden - middle[:, None]) ** 2).sum(axis=1)
    looks = surface_of(exchanges, parts, responses, ~responses.is_test, advance)
    train = StreamedOrder(golden, group, np.flatnonzero(~responses.is_test).astype(np.int32))
    by_length[~is_test] = streamed_spearman(looks.length, train)
    by_overlap[~is_test] = streamed_spearman(looks.overlap, train)
    return order.sizes, untied, mean, squares, is_test, by_length, by_overlap
