"""A world whose golden reward is known, to fit heads in."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import spearmanr
from small_settings import SMALL

from rmlab.config.hydra import load_settings
from rmlab.errors import InputError
from rmlab.evaluation.fit_head import fit_head
from rmlab.responses.table import Responses


@dataclass(frozen=True)
class World:
    """Responses whose golden reward is linear in their embeddings; it serves as their Vectors, too."""

    responses: Responses
    x: np.ndarray
    asked: list

    def rows(self, rows):
        self.asked.append(rows)
        return self.x[rows]

    def blocks(self, wanted=None):
        rows = np.arange(len(self.x)) if wanted is None else np.flatnonzero(wanted)
        yield rows, self.x[rows]


def world(prompts: int = 60, each: int = 8, d: int = 12, levels: int = 0) -> World:
    """levels: golden rewards are cut to so many values, so that there are ties."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(prompts * each, d)).astype(np.float32)
    golden = x @ rng.normal(size=d)
    if levels:
        golden = np.round(golden / np.abs(golden).max() * levels)
    group = np.repeat(np.arange(prompts), each)
    return World(Responses(np.arange(len(x)).astype(str), group.astype(str), golden, group), x, [])


def fit(w: World, *more, n=200):
    small = load_settings([*SMALL, "arms=[]", f"comparisons.n={n}", "comparisons.n_validation=100", *more])
    return fit_head(small, w.responses, w)


def agreement(w: World, head) -> float:
    return float(spearmanr(head.score(w.x), w.responses.golden).statistic)


@dataclass
class Pieces:
    """Vectors in pieces of four rows; `broken` is the number of a piece that cannot be read."""

    x: np.ndarray
    broken: int = -1
    read: list[int] = field(default_factory=list)

    def rows(self, rows):
        return self.x[rows]

    def blocks(self, wanted=None):
        for piece in self.pieces(wanted):
            yield from piece()

    def pieces(self, wanted=None):
        chosen = np.arange(len(self.x)) if wanted is None else np.flatnonzero(wanted)
        starts = range(0, len(chosen), 4)
        return [lambda k=k, s=s: self._piece(k, chosen[s : s + 4]) for k, s in enumerate(starts)]

    def sample(self, wanted, n):
        return self.x[wanted][:n]

    def _piece(self, number, rows):
        self.read.append(number)
        if number == self.broken:
            raise InputError("part 3 cannot be read; run its stage again")
        if 0 <= self.broken < number:
            time.sleep(0.1)  # so that the error is seen before all others are read
        yield rows, self.x[rows]
