"""Embeddings less the mean of their prompt, for heads with head.centre=prompt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from rmlab.errors import InputError
from rmlab.responses.vectors import Vectors


@dataclass(frozen=True, eq=False)
class PromptMeans:
    """number: [m] place of a response's prompt in mean, -1 where it was not asked for; mean: [P, d] float32;
    size: [P] responses of each prompt. The mean is over all responses of a prompt, compared or not."""

    number: np.ndarray
    mean: np.ndarray
    size: np.ndarray

    @classmethod
    def of(cls, vectors: Vectors, group: np.ndarray, rows: np.ndarray) -> PromptMeans:
        """Computes the means of the prompts of some rows in one pass over embeddings. group: [m]."""
        prompts = np.unique(group[rows])
        wanted = np.isin(group, prompts)
        number = np.full(len(group), -1)
        number[wanted] = np.searchsorted(prompts, group[wanted])
        size = np.bincount(number[wanted], minlength=len(prompts))
        total: np.ndarray | None = None
        for block, x in vectors.blocks(wanted):
            if total is None:
                total = np.zeros((len(prompts), x.shape[1]))
            at = number[block], np.arange(len(block))
            total += csr_array((np.ones(len(block)), at), shape=(len(prompts), len(block))) @ x
        if total is None:
            raise InputError("there are no responses to centre by prompt; check the splits of the prompts")
        return cls(number, (total / size[:, None]).astype(np.float32), size)

    def check_fit(self) -> None:
        """Refuses to fit a head where all differences are 0; to score such responses is no error."""
        if (self.size == 1).all():
            raise InputError(
                "head.centre=prompt leaves nothing where every prompt has one response; set head.centre=none"
            )

    @property
    def notes(self) -> list[str]:
        alone = int((self.size == 1).sum())
        told = f"{alone} of {len(self.size)} prompts have one response, which head.centre=prompt makes zero"
        return [told] if alone else []

    def less(self, rows: np.ndarray, x: np.ndarray) -> np.ndarray:
        """x: [k, d] embeddings of these rows -> [k, d]."""
        return x - self.mean[self.number[rows]]


def centred(vectors: Vectors, group: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """[k, d] embeddings of some rows, less the means of their prompts. group: [m]; rows: [k]."""
    return PromptMeans.of(vectors, group, rows).less(rows, vectors.rows(rows))
