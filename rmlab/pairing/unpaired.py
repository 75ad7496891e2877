"""Single responses, to be found good or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rmlab.comparisons import Comparisons, Pool
from rmlab.pairing.base import check_budget
from rmlab.pairing.deal import capacities, deal, prompt_order
from rmlab.pairing.distinct import distinct_codes


@dataclass(frozen=True)
class Unpaired:
    """n distinct responses at random, dealt round-robin over the prompts in random order."""

    name: ClassVar[str] = "unpaired"

    def capacity(self, pool: Pool) -> int:
        return len(pool)

    def __call__(self, pool: Pool, n: int, rng: np.random.Generator) -> Comparisons:
        """n responses: items [n, 1] int64 rows of the pool; its first rows are spread evenly too."""
        check_budget(n, len(pool), "responses")

        def draw(members: np.ndarray, q: int) -> np.ndarray:
            codes = distinct_codes(len(members), q, members.shape[1], rng)
            return np.take_along_axis(members, codes, axis=1)[:, :, None]

        items = deal(pool, prompt_order(pool), capacities(pool, int), n, draw, rng)
        return Comparisons(items=items, group=pool.group[items[:, 0]], kind="unpaired")
