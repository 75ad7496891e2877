"""Accuracy and correlation controlled for length and style, and the overlap of responses with prompts.

Pairs in which the better answer is also the longer one are easy for a head that prefers length, and they may
be the majority. So accuracy is balanced by overlap weights (Li, Morgan & Zaslavsky 2018): with s_i the signs
of the style differences, better less worse, and e_i = sigma(c . s_i), the probability that style alone gives
to the truth (a logistic regression without intercept, as in the style control of Chatbot Arena, Li et al.
2024), pair i weighs v_i (1 - e_i), v_i one over the pairs of its prompt. At the maximum likelihood
sum_i v_i (1 - e_i) s_i = 0: no feature is associated with being better any more, so a head that orders by a
single feature is right in exactly one half of the weight, while the golden order stays at 1. With length
alone, the pairs whose better answer is longer have the same total weight as those whose better answer is
shorter, and pairs of equal length, which length cannot decide, weigh one half.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import expit

STYLE = ("words", "punctuation", "markdown", "variety")
_LEAST_WEIGHT = 1e-3  # share of the weight that must be left; less means that style decides the pairs
_WORD = re.compile(r"\w+")
_PUNCTUATION = str.maketrans("", "", ".,;:!?\"'()-")
_MARKDOWN = re.compile(r"\n|\*\*|`|^ *(?:#+|[-*]|\d+\.) ", re.MULTILINE)


def style_of(text: str) -> tuple[float, ...]:
    """Returns the features that STYLE names.

    They are the number of words; the share of punctuation among characters; the number of line breaks and
    markdown marks (headings, list items, bold, code); and distinct words over words, ignoring case.
    """
    words = text.lower().split()
    marks = len(text) - len(text.translate(_PUNCTUATION))
    return (
        float(len(words)),
        marks / max(1, len(text)),
        float(len(_MARKDOWN.findall(text))),
        len(set(words)) / max(1, len(words)),
    )


def partial_correlation(with_golden: np.ndarray, with_length: np.ndarray, both: np.ndarray) -> np.ndarray:
    """Returns the partial rank correlation of scores and golden rewards given length, [P],

    (r_sg - r_sl r_gl) / sqrt((1 - r_sl^2) (1 - r_gl^2)),

    the correlation of the residuals of ranks after regression on the ranks of length. with_golden,
    with_length, both: [P] rank correlations of scores with golden rewards (r_sg), of scores with lengths
    (r_sl), and of golden rewards with lengths (r_gl). Where lengths are equal, with correlations NaN, it is
    r_sg. It is NaN where golden rewards have no order or exactly that of length, and 0 where the scores have.
    """
    length, shared = np.nan_to_num(with_length), np.nan_to_num(both)
    own, left = 1 - length**2, 1 - shared**2
    no_own, none_left = own < 1e-12, left < 1e-12
    spread = np.sqrt(np.where(no_own, 1.0, own) * np.where(none_left, 1.0, left))
    found = np.where(no_own, 0.0, np.clip((with_golden - length * shared) / spread, -1, 1))
    return np.where(none_left | np.isnan(with_golden), np.nan, found)


@dataclass(frozen=True, eq=False)
class Balance:
    """Weights of pairs under which style is balanced.

    signs: [n, F] of the style differences, better less worse; base: [n] weights v before the balance; chance:
    [n] e, the probability that style alone gives to the truth.
    """

    signs: np.ndarray
    base: np.ndarray
    chance: np.ndarray

    @classmethod
    def of(cls, signs: np.ndarray, base: np.ndarray) -> Balance | None:
        """Fits the balance; returns None without pairs, or if style predicts nearly all better answers."""
        if not len(signs):
            return None
        c = np.zeros(signs.shape[1])
        for _ in range(100):  # Newton's method on a concave likelihood, no step longer than 1
            found = cls(signs, base, expit(signs @ c))
            slope = signs.T @ found.weight
            if np.abs(slope).max() <= 1e-12 * base.sum():
                break
            step = found.solve(slope)
            c = c + step / max(1.0, float(np.abs(step).max()))
        left = found.weight.sum()
        return found if np.abs(slope).max() <= 1e-9 * left and left >= _LEAST_WEIGHT * base.sum() else None

    @cached_property
    def weight(self) -> np.ndarray:
        """The weights under which each sign sums to 0, [n]."""
        return self.base * (1 - self.chance)

    @cached_property
    def bend(self) -> np.ndarray:
        """The negative derivative of the weights by c . s, [n]."""
        return self.base * self.chance * (1 - self.chance)

    @cached_property
    def curvature(self) -> np.ndarray:
        """The negative Hessian of the log-likelihood by c, [F, F]."""
        return (self.signs * self.bend[:, None]).T @ self.signs

    def solve(self, slope: np.ndarray) -> np.ndarray:
        """Returns curvature^-1 slope, [F], with 0 for features that never differ."""
        return np.linalg.lstsq(self.curvature, slope, rcond=None)[0]

    def parts(self, credit: np.ndarray, prompt: np.ndarray, n_prompts: int) -> np.ndarray:
        """Returns a value for each prompt, [P], whose mean is R = sum w credit / sum w. credit, prompt: [n].

        Their spread gives the standard error of R: a value is R plus the sum over the prompt's pairs of
        w (credit - R - s . curvature^-1 sum bend s (credit - R)), in units of the mean weight of prompts. The
        last term is the prompt's influence through c; with it a head that orders by one feature, which has
        1/2 in any sample, has no spread. Source: M-estimation, Stefanski & Boos 2002.
        """
        share = (self.weight @ credit) / self.weight.sum()
        pull = self.signs @ self.solve(self.signs.T @ (self.bend * (credit - share)))
        counted = np.bincount(prompt, minlength=n_prompts) > 0
        over = np.bincount(prompt, self.weight * (credit - share - pull), n_prompts)
        return np.where(counted, share + over * counted.sum() / self.weight.sum(), np.nan)


@dataclass(frozen=True, eq=False)
class BalancedPairs:
    """Same-prompt pairs of a split with the balances of each metric, by its name.

    better_first: [n] bool; prompt: [n], position among the P prompts.
    """

    better_first: np.ndarray
    prompt: np.ndarray
    n_prompts: int
    balances: dict[str, Balance | None]

    @classmethod
    def of(
        cls, better_first: np.ndarray, style: np.ndarray, prompt: np.ndarray, n_prompts: int
    ) -> BalancedPairs:
        """Fits the balances. style: [n, F], first response less second: words alone, or all of STYLE."""
        signs = np.sign(style) * np.where(better_first, 1.0, -1.0)[:, None]
        base = 1 / np.maximum(np.bincount(prompt, minlength=n_prompts), 1)[prompt]
        balances = {"length_controlled_accuracy": Balance.of(signs[:, :1], base)}
        if style.shape[1] > 1:
            balances["style_controlled_accuracy"] = Balance.of(signs, base)
        return cls(better_first, prompt, n_prompts, balances)

    def accuracy(self, margin: np.ndarray) -> dict[str, np.ndarray]:
        """Returns for each metric values of the prompts, [P], whose mean is the balanced accuracy.

        margin: [n] score of the first response less that of the second; equal scores count one half. The
        spread of the values gives the standard error. NaN for prompts without pairs, and for all prompts
        where style decides the pairs.
        """
        credit = (1 + np.sign(margin) * np.where(self.better_first, 1, -1)) / 2
        return {
            name: np.full(self.n_prompts, np.nan)
            if balance is None
            else balance.parts(credit, self.prompt, self.n_prompts)
            for name, balance in self.balances.items()
        }


def prompt_overlap(prompt: str, response: str) -> float:
    """Returns the share of the response's words that occur in the prompt; 0 for an empty response."""
    known = set(_WORD.findall(prompt.lower()))
    words = _WORD.findall(response.lower())
    return sum(word in known for word in words) / len(words) if words else 0.0
