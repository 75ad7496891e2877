"""Share of same-prompt pairs that scores put in the golden order."""

from __future__ import annotations

import numpy as np

from rmlab.errors import InputError
from rmlab.metrics.base import pair_signs, prompt_blocks


def pairwise_accuracy(scores: np.ndarray, golden: np.ndarray, group: np.ndarray) -> np.ndarray:
    """scores, golden, group: [m] -> [P], over all pairs of a prompt with different golden rewards.

    A pair of equal scores counts one half, as a coin would. Prompts as in np.unique(group); NaN where
    no pair has different golden rewards: count them. This is order consistency (arXiv 2411.04991).
    """
    if np.isnan(scores).any() or np.isnan(golden).any():
        raise InputError("scores or golden rewards hold NaN: score the responses again")
    result = np.full(len(np.unique(group)), np.nan)
    for prompts, rows in prompt_blocks(group, pairs=True):
        truth = pair_signs(golden[rows])
        agree = (truth * pair_signs(scores[rows])).sum(axis=(1, 2), dtype=np.int64)
        untied = (truth != 0).sum(axis=(1, 2))
        defined = untied > 0
        result[prompts[defined]] = (1 + agree[defined] / untied[defined]) / 2
    return result
