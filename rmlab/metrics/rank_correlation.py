"""How well scores order the responses of each prompt, ties counted."""

from __future__ import annotations

import numpy as np

from rmlab.metrics.base import pair_signs, prompt_blocks


def spearman(scores: np.ndarray, golden: np.ndarray, group: np.ndarray) -> np.ndarray:
    """scores, golden, group: [m] -> [P] Pearson correlation of ranks, ties at their mean rank.

    Prompts as in np.unique(group). NaN where scores or golden rewards of a prompt are all equal or
    hold NaN: count them.
    """
    _, prompt = np.unique(group, return_inverse=True)
    a, b = _centred_ranks(scores, prompt), _centred_ranks(golden, prompt)
    spread = np.sqrt(np.bincount(prompt, a * a) * np.bincount(prompt, b * b))
    with np.errstate(invalid="ignore"):
        return np.clip(np.bincount(prompt, a * b) / spread, -1, 1)


def kendall(scores: np.ndarray, golden: np.ndarray, group: np.ndarray) -> np.ndarray:
    """scores, golden, group: [m] -> [P] Kendall's tau-b,

    (concordant - discordant) / sqrt(pairs untied in scores * pairs untied in golden).
    Prompts as in np.unique(group). NaN where scores or golden rewards of a prompt are all equal or
    hold NaN: count them. Source: Kendall 1945.
    """
    result = np.full(len(np.unique(group)), np.nan)
    for prompts, rows in prompt_blocks(group, pairs=True):
        a, b = pair_signs(scores[rows]), pair_signs(golden[rows])
        agree, a_untied, b_untied = (x.sum(axis=(1, 2), dtype=np.int64) for x in (a * b, a * a, b * b))
        defined = (a_untied > 0) & (b_untied > 0)
        defined &= ~np.isnan(scores[rows]).any(axis=1) & ~np.isnan(golden[rows]).any(axis=1)
        spread = np.sqrt(a_untied[defined]) * np.sqrt(b_untied[defined])
        result[prompts[defined]] = np.clip(agree[defined] / spread, -1, 1)
    return result


def _centred_ranks(values: np.ndarray, prompt: np.ndarray) -> np.ndarray:
    """[m] mean ranks within the prompt less their mean; NaN for prompts with a NaN."""
    order = np.lexsort((values, prompt))
    value, owner = values[order], prompt[order]
    new = np.ones(len(values), dtype=bool)
    new[1:] = (value[1:] != value[:-1]) | (owner[1:] != owner[:-1])
    tie = np.cumsum(new) - 1
    rank = np.empty(len(values))
    rank[order] = (np.bincount(tie, np.arange(len(values))) / np.bincount(tie))[tie]
    rank[np.isnan(values)] = np.nan
    return rank - (np.bincount(prompt, rank) / np.bincount(prompt))[prompt]
