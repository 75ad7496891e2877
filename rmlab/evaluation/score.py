"""Scores of many heads in one pass over the embeddings, however many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from rmlab.errors import RmlabError
from rmlab.heads.base import RewardHead
from rmlab.heads.baselines import Ridge
from rmlab.heads.fitted.centred import CentredHead
from rmlab.heads.fitted.mlp import CompressedMlp, MlpHead, compressed
from rmlab.heads.fitted.several import EnsembleHead
from rmlab.models.compute import available_cores
from rmlab.responses.prompt_means import PromptMeans
from rmlab.responses.vectors import ROWS_AT_ONCE, Piece, Vectors
from rmlab.threads import one_thread

SAMPLE = 4096  # responses that quick forms are tried on
WORTH_TRYING = 100_000  # responses to score; for fewer the trial takes longer than it saves


Example = tuple[np.ndarray, np.ndarray]  # embeddings [b, d] and golden scores [b]


@dataclass(frozen=True)
class Scores:
    """score: [m] rewards; raw: scores as fitted, of all rows or of some; NaN where not wanted."""

    score: np.ndarray
    raw: np.ndarray


def score_all(
    heads: Mapping[str, RewardHead],
    vectors: Vectors,
    wanted: np.ndarray,
    advance: Callable[[int], None],
    threads: int = 0,
    raw_of: np.ndarray | None = None,
    group: np.ndarray | None = None,
) -> dict[str, Scores]:
    """wanted: [m] bool; each block of embeddings is read once for all heads. raw_of: the rows, ascending,
    whose scores as fitted are kept; None: all. group: [m] the prompt of each response, needed by heads with
    head.centre=prompt: the embeddings are read once more for the means of the prompts' responses.

    Threads read and score pieces of their own, with one thread of arithmetic each: reading does not wait
    for products, nor products for reading. Scores do not depend on how many there are. 0: one a core.
    """
    m = len(wanted)
    n_raw = m if raw_of is None else len(raw_of)
    means = _means(heads, vectors, wanted, group)
    found = {name: Scores(np.full(m, np.nan), np.full(n_raw, np.nan)) for name in heads}

    def run(piece: Piece) -> int:
        done = 0
        for rows, x in piece():
            at, kept = _places(rows, raw_of)
            centred = x if means is None else means.less(rows, x)
            for name, head in heads.items():
                if isinstance(head, CentredHead):
                    found[name].score[rows], raw = head.head.score_and_raw(centred)
                else:
                    found[name].score[rows], raw = head.score_and_raw(x)
                found[name].raw[at] = raw[kept]
            done += len(rows)
        return done

    pieces = vectors.pieces(wanted)
    workers = min(threads or available_cores(), len(pieces))
    for done in _one_by_one(run, pieces) if workers < 2 else _side_by_side(run, pieces, workers):
        advance(done)
    return found


def _means(
    heads: Mapping[str, RewardHead], vectors: Vectors, wanted: np.ndarray, group: np.ndarray | None
) -> PromptMeans | None:
    """Where a head needs them and there is something to score."""
    if not wanted.any() or not any(isinstance(head, CentredHead) for head in heads.values()):
        return None
    if group is None:
        raise RmlabError("a head with head.centre=prompt is scored without prompts; pass group to score_all")
    return PromptMeans.of(vectors, group, np.flatnonzero(wanted))


def _places(rows: np.ndarray, raw_of: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | slice]:
    """Where the scores as fitted of some rows go, and which of them do."""
    if raw_of is None:
        return rows, slice(None)
    at = np.searchsorted(raw_of, rows)
    kept = np.flatnonzero(np.append(raw_of, -1)[at] == rows)
    return at[kept], kept


def _one_by_one(run: Callable[[Piece], int], pieces: list[Piece]) -> Iterator[int]:
    """In this thread, which Ctrl-C interrupts at once."""
    with one_thread():
        yield from map(run, pieces)


def _side_by_side(run: Callable[[Piece], int], pieces: list[Piece], workers: int) -> Iterator[int]:
    def alone() -> None:
        torch.set_num_threads(1)  # of the thread that calls it

    pool = ThreadPoolExecutor(workers, initializer=alone)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield from pool.map(run, pieces)
    finally:  # after an error or an interruption nothing more is begun
        pool.shutdown(wait=True, cancel_futures=True)


def quick_forms(
    heads: Mapping[str, RewardHead], vectors: Vectors, wanted: np.ndarray
) -> dict[str, RewardHead]:
    """The heads in the form that scores the wanted responses soonest."""
    if wanted.sum() < WORTH_TRYING:
        return dict(heads)
    sample = vectors.sample(wanted, SAMPLE)
    return {name: quickened(head, sample) for name, head in heads.items()}


def quickened(head: RewardHead, sample: np.ndarray) -> RewardHead:
    """MLPs, alone or in an ensemble, in a form that scores faster where it agrees with them.

    A head with head.centre=prompt stays as it is: the sample has no whole prompts to try a form on.
    """
    if isinstance(head, MlpHead):
        return compressed(head, sample)
    if isinstance(head, EnsembleHead):
        members = tuple(compressed(m, sample) if isinstance(m, MlpHead) else m for m in head.members)
        return replace(head, members=members)
    return head


def is_quick(head: RewardHead) -> bool:
    """Whether any of it scores by thinner products than were fitted."""
    members = head.members if isinstance(head, EnsembleHead) else (head,)
    return any(isinstance(member, CompressedMlp) for member in members)


def regression_on_golden(examples: Iterable[Example], advance: Callable[[int], None]) -> RewardHead:
    """Ridge regression on the golden scores themselves: the ceiling for a linear head.

    The examples are cut into equal blocks, so that sums do not depend on how they came.
    """
    ridge = Ridge()
    for x, golden in _equal_blocks(examples):
        ridge.add(x, golden)
        advance(len(x))
    return ridge.fit()


def examples_of(vectors: Vectors, golden: np.ndarray, wanted: np.ndarray) -> Iterator[Example]:
    """wanted: [m] bool."""
    for rows, x in vectors.blocks(wanted):
        yield x, golden[rows]


def _equal_blocks(examples: Iterable[Example]) -> Iterator[Example]:
    held: list[Example] = []
    for block in examples:
        x, golden = (np.concatenate(both) if held else both[0] for both in zip(*held, block, strict=True))
        whole = len(x) - len(x) % ROWS_AT_ONCE
        for start in range(0, whole, ROWS_AT_ONCE):
            yield x[start : start + ROWS_AT_ONCE], golden[start : start + ROWS_AT_ONCE]
        held = [(x[whole:], golden[whole:])] if whole < len(x) else []
    yield from held
