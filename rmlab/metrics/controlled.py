"""How good a head is apart from length and style: a head that only likes long answers is worth nothing here.

Accuracy is balanced. Pairs in which the better answer is also the longer one are easy for a head that likes
length, and they may be many. So pairs get overlap weights (Li, Morgan & Zaslavsky 2018): with s_i the signs
of the style differences, better less worse, and e_i = sigma(c . s_i), the probability that style alone
gives to the truth (a logistic regression without intercept, as the style control of Chatbot Arena has, Li
et al. 2024), pair i weighs v_i (1 - e_i), v_i one over the pairs of its prompt. At the maximum likelihood
sum_i v_i (1 - e_i) s_i = 0: no feature goes with being better any more, so a head that orders by a single
feature is right in exactly one half, while the golden order stays at 1. With length alone, pairs whose
better answer is longer weigh in total what those do whose better answer is shorter; pairs of equal length,
which length can't decide, weigh one half.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from rmlab.metrics.group_mean import ratio_parts

STYLE = ("words", "punctuation", "markdown", "variety")
_LEAST_WEIGHT = 1e-3  # of a mean weight of at most one half: less is left where style decides all pairs
_PUNCTUATION = str.maketrans("", "", ".,;:!?\"'()-")
_MARKDOWN = re.compile(r"\n|\*\*|`|^ *(?:#+|[-*]|\d+\.) ", re.MULTILINE)


def style_of(text: str) -> tuple[float, ...]:
    """Numbers named by STYLE: words; share of punctuation among the characters; line breaks and markdown
    marks (headings, list items, bold, code); different words over words, case apart."""
    words = text.lower().split()
    marks = len(text) - len(text.translate(_PUNCTUATION))
    return (
        float(len(words)),
        marks / max(1, len(text)),
        float(len(_MARKDOWN.findall(text))),
        len(set(words)) / max(1, len(words)),
    )


def partial_correlation(with_golden: np.ndarray, with_length: np.ndarray, both: np.ndarray) -> np.ndarray:
    """with_golden, with_length, both: [P] rank correlations of scores with golden rewards, of scores with
    lengths, and of golden rewards with lengths -> [P] the partial one of scores and golden rewards given
    length,

    (r_sg - r_sl r_gl) / sqrt((1 - r_sl^2) (1 - r_gl^2)),

    which is the correlation of what is left of the ranks after their regressions on the ranks of length.
    Equal lengths, whose correlations are NaN, leave r_sg. NaN where golden rewards have no order, or none
    that length does not give; 0 where the scores have none."""
    length, shared = np.nan_to_num(with_length), np.nan_to_num(both)
    own, left = 1 - length**2, 1 - shared**2
    no_own, none_left = own < 1e-12, left < 1e-12
    spread = np.sqrt(np.where(no_own, 1.0, own) * np.where(none_left, 1.0, left))
    found = np.where(no_own, 0.0, np.clip((with_golden - length * shared) / spread, -1, 1))
    return np.where(none_left | np.isnan(with_golden), np.nan, found)


@dataclass(frozen=True, eq=False)
class BalancedPairs:
    """Same-prompt pairs of a split. better_first: [n] bool; prompt: [n] position among the P prompts;
    weights: by the metric's name, [n], None where style decides all pairs and nothing is left to judge by.
    """

    better_first: np.ndarray
    prompt: np.ndarray
    n_prompts: int
    weights: dict[str, np.ndarray | None]

    @classmethod
    def of(
        cls, better_first: np.ndarray, style: np.ndarray, prompt: np.ndarray, n_prompts: int
    ) -> BalancedPairs:
        """style: [n, F] of the first response less that of the second: words alone, or all of STYLE."""
        signs = np.sign(style) * np.where(better_first, 1.0, -1.0)[:, None]
        base = 1 / np.maximum(np.bincount(prompt, minlength=n_prompts), 1)[prompt]
        weights = {"length_controlled_accuracy": overlap_weights(signs[:, :1], base)}
        if style.shape[1] > 1:
            weights["style_controlled_accuracy"] = overlap_weights(signs, base)
        return cls(better_first, prompt, n_prompts, weights)

    def accuracy(self, margin: np.ndarray) -> dict[str, np.ndarray]:
        """margin: [n] score of the first less that of the second -> metric -> [P] numbers whose mean is the
        weighted share of right pairs, equal scores one half, and whose spread is that of this share. NaN for
        prompts without pairs."""
        credit = (1 + np.sign(margin) * np.where(self.better_first, 1, -1)) / 2
        found = {}
        has_pairs = np.bincount(self.prompt, minlength=self.n_prompts) > 0
        for name, weight in self.weights.items():
            if weight is None:
                found[name] = np.full(self.n_prompts, np.nan)
                continue
            right = np.bincount(self.prompt, weight * credit, self.n_prompts)
            total = np.bincount(self.prompt, weight, self.n_prompts)
            found[name] = ratio_parts(right, total, has_pairs)
        return found


def overlap_weights(signs: np.ndarray, base: np.ndarray) -> np.ndarray | None:
    """signs: [n, F] better less worse; base: [n] > 0 -> [n] weights under which all signs sum to 0; None
    without a pair, or where signs tell nearly all better answers."""
    if not len(signs):
        return None
    c = np.zeros(signs.shape[1])
    for _ in range(100):  # Newton's method on a concave likelihood, no step longer than 1
        e = expit(signs @ c)
        slope = signs.T @ (base * (1 - e))
        if np.abs(slope).max() <= 1e-12 * base.sum():
            break
        curve = (signs * (base * e * (1 - e))[:, None]).T @ signs
        step = np.linalg.lstsq(curve, slope, rcond=None)[0]
        c = c + step / max(1.0, float(np.abs(step).max()))
    weight = base * (1 - expit(signs @ c))
    balanced = np.abs(signs.T @ weight).max() <= 1e-9 * weight.sum()
    return weight if balanced and weight.sum() >= _LEAST_WEIGHT * base.sum() else None
