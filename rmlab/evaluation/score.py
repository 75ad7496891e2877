"""Scores of many heads in one pass over the embeddings, however many there are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from rmlab.errors import RmlabError
from rmlab.heads.base import RewardHead
from rmlab.heads.baselines import Ridge
from rmlab.heads.fitted.centred import CentredHead
from rmlab.heads.fitted.load import load_head
from rmlab.heads.fitted.mlp import MlpHead
from rmlab.heads.fitted.quick import QuickMlp, quick_mlp
from rmlab.heads.fitted.several import EnsembleHead
from rmlab.models.compute import available_cores, one_thread
from rmlab.pipeline.job import Job
from rmlab.responses.prompt_means import PromptMeans
from rmlab.responses.vectors import Piece, Vectors, vector_type
from rmlab.storage.artifact import Artifact

SAMPLE = 4096  # responses that quick forms are tried on
WORTH_TRYING = 100_000  # responses to score; for fewer the trial takes longer than it saves


@dataclass(frozen=True)
class Scores:
    """score: [m] rewards; raw: [m] scores as fitted; NaN where not wanted."""

    score: np.ndarray
    raw: np.ndarray


def heads_by_embedding(job: Job) -> list[tuple[Artifact, dict[str, RewardHead]]]:
    """The embeddings of a job, each with the fitted heads that score them, by name."""
    found: dict[str, tuple[Artifact, dict[str, RewardHead]]] = {}
    for name, fitted in job.several("fit_rm").items():
        embed = job.inputs[f"embed:{name}"]
        vector_type(embed)  # parts that do not go together are refused before anything is read
        _, heads = found.setdefault(embed.manifest.fingerprint, (embed, {}))
        heads[name] = load_head(fitted.path)
    return list(found.values())


def score_all(
    heads: Mapping[str, RewardHead],
    vectors: Vectors,
    wanted: np.ndarray,
    advance: Callable[[int], None] = lambda rows: None,
    threads: int = 0,
    group: np.ndarray | None = None,
) -> dict[str, Scores]:
    """wanted: [m] bool; each block of embeddings is read once for all heads. group: [m] the prompt of each
    response, needed by heads with head.centre=prompt: the embeddings are read once more for the means of the
    prompts' responses.

    Threads read and score pieces of their own, with one thread of arithmetic each: reading does not wait
    for products, nor products for reading. Scores do not depend on how many there are. 0: one a core.
    """
    m = len(wanted)
    means = _means(heads, vectors, wanted, group)
    found = {name: Scores(np.full(m, np.nan), np.full(m, np.nan)) for name in heads}

    def run(piece: Piece) -> int:
        done = 0
        for rows, x in piece():
            centred = x if means is None else means.less(rows, x)
            for name, head in heads.items():
                of = found[name]
                if isinstance(head, CentredHead):
                    of.score[rows], of.raw[rows] = head.head.score_and_raw(centred)
                else:
                    of.score[rows], of.raw[rows] = head.score_and_raw(x)
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
    """The means of prompts, or None if no head needs them or there is nothing to score."""
    if not wanted.any() or not any(isinstance(head, CentredHead) for head in heads.values()):
        return None
    if group is None:
        raise RmlabError("a head with head.centre=prompt is scored without prompts; pass group to score_all")
    return PromptMeans.of(vectors, group, np.flatnonzero(wanted))


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
    return {name: quickened(head, sample, int(wanted.sum())) for name, head in heads.items()}


def quickened(head: RewardHead, sample: np.ndarray, n: float = math.inf) -> RewardHead:
    """MLPs, alone or in an ensemble, in a form that scores n responses faster, where it agrees with them.

    A head with head.centre=prompt stays as it is: the sample has no whole prompts to try a form on.
    """
    if isinstance(head, MlpHead):
        return quick_mlp(head, sample, n)
    if isinstance(head, EnsembleHead):
        members = tuple(quick_mlp(m, sample, n) if isinstance(m, MlpHead) else m for m in head.members)
        return replace(head, members=members)
    return head


def is_quick(head: RewardHead) -> bool:
    """True if some part of the head scores by other products than were fitted, thinner or rounded ones."""
    members = head.members if isinstance(head, EnsembleHead) else (head,)
    return any(isinstance(member, QuickMlp) for member in members)


def regression_on_golden(
    vectors: Vectors,
    golden: np.ndarray,
    rows: np.ndarray,
    advance: Callable[[int], None] = lambda rows: None,
) -> RewardHead:
    """Ridge regression of some rows on the golden scores themselves: the ceiling for a linear head."""
    wanted = np.zeros(len(golden), dtype=bool)
    wanted[rows] = True
    ridge = Ridge()
    for block, x in vectors.blocks(wanted):
        ridge.add(x, golden[block])
        advance(len(block))
    return ridge.fit()
