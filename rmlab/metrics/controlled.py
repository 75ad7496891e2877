"""How good a head is apart from length and style, and how much of a response copies its prompt.

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
from functools import cached_property

import numpy as np
from scipy.special import expit

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
class Balance:
    """Pairs that style is balanced in. signs: [n, F] of the style differences, better less worse; base: [n]
    weights v before the balance; chance: [n] e, what style alone gives to the truth."""

    signs: np.ndarray
    base: np.ndarray
    chance: np.ndarray

    @classmethod
    def of(cls, signs: np.ndarray, base: np.ndarray) -> Balance | None:
        """None without a pair, or where style tells nearly all better answers: then nothing is left."""
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
        """[n] under which all signs sum to 0."""
        return self.base * (1 - self.chance)

    @cached_property
    def bend(self) -> np.ndarray:
        """[n] by how much the weights fall with c . s."""
        return self.base * self.chance * (1 - self.chance)

    @cached_property
    def curvature(self) -> np.ndarray:
        """[F, F] of the likelihood."""
        return (self.signs * self.bend[:, None]).T @ self.signs

    def solve(self, slope: np.ndarray) -> np.ndarray:
        """[F] curvature^-1 slope; features that never differ stay out."""
        return np.linalg.lstsq(self.curvature, slope, rcond=None)[0]

    def parts(self, credit: np.ndarray, prompt: np.ndarray, n_prompts: int) -> np.ndarray:
        """credit, prompt: [n] -> [P] whose mean is R = sum w credit / sum w, and whose spread is that of R:
        the sum over the pairs of a prompt of w (credit - R - s . curvature^-1 sum bend s (credit - R)), in
        units of the mean weight of prompts. The last term is what a prompt does to c; with it a head that
        orders by one feature, which has 1/2 in any sample, has no spread. Source: M-estimation, Stefanski &
        Boos 2002.
        """
        share = (self.weight @ credit) / self.weight.sum()
        pull = self.signs @ self.solve(self.signs.T @ (self.bend * (credit - share)))
        counted = np.bincount(prompt, minlength=n_prompts) > 0
        over = np.bincount(prompt, self.weight * (credit - share - pull), n_prompts)
        return np.where(counted, share + over * counted.sum() / self.weight.sum(), np.nan)


@dataclass(frozen=True, eq=False)
class BalancedPairs:
    """Same-prompt pairs of a split. better_first: [n] bool; prompt: [n] position among the P prompts;
    balances: by the metric's name."""

    better_first: np.ndarray
    prompt: np.ndarray
    n_prompts: int
    balances: dict[str, Balance | None]

    @classmethod
    def of(
        cls, better_first: np.ndarray, style: np.ndarray, prompt: np.ndarray, n_prompts: int
    ) -> BalancedPairs:
        """style: [n, F] of the first response less that of the second: words alone, or all of STYLE."""
        signs = np.sign(style) * np.where(better_first, 1.0, -1.0)[:, None]
        base = 1 / np.maximum(np.bincount(prompt, minlength=n_prompts), 1)[prompt]
        balances = {"length_controlled_accuracy": Balance.of(signs[:, :1], base)}
        if style.shape[1] > 1:
            balances["style_controlled_accuracy"] = Balance.of(signs, base)
        return cls(better_first, prompt, n_prompts, balances)

    def accuracy(self, margin: np.ndarray) -> dict[str, np.ndarray]:
        """margin: [n] score of the first less that of the second -> metric -> [P] numbers whose mean is the
        weighted share of right pairs, equal scores one half, and whose spread is that of this share. NaN for
        prompts without pairs, and for all where style decides the pairs."""
        credit = (1 + np.sign(margin) * np.where(self.better_first, 1, -1)) / 2
        return {
            name: np.full(self.n_prompts, np.nan)
            if balance is None
            else balance.parts(credit, self.prompt, self.n_prompts)
            for name, balance in self.balances.items()
        }


_WORD = re.compile(r"\w+")


def prompt_overlap(prompt: str, response: str) -> float:
    """Share of the response's words that occur in the prompt, 0 to 1; 0 for an empty response."""
    known = set(_WORD.findall(prompt.lower()))
    words = _WORD.findall(response.lower())
    return sum(word in known for word in words) / len(words) if words else 0.0
