"""The rule by which an effect becomes a verdict. It was written before the study was run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rmlab.study.two_way import LEVEL, Effect

Verdict = Literal["supported", "not supported", "undecided", "not run"]
Kind = Literal["greater", "not_less", "below"]

RULE = (
    "Each claim names, before the run, a contrast of cells, a metric and the smallest effect that would "
    "matter. Its effect is the mean difference on test prompts, the same prompts and seeds on both sides; "
    "its 95% interval is a two-way bootstrap over prompts and seeds, widened for few seeds.",
    "A claim that something is better is supported where the whole interval is above 0; not supported where "
    "the whole interval is below 0 or within the smallest effect of 0 on both sides; undecided otherwise.",
    "A claim that something is no worse is supported where the whole interval is above minus the smallest "
    "effect; not supported where the whole interval is below that; undecided otherwise.",
    "Beside an undecided claim stands the smallest effect that this set could have shown (80% power): "
    "undecided is no evidence of absence.",
    "Several claims are judged at once, so some would seem supported by chance; a star marks those whose "
    "evidence survives Holm's correction over all claims of the report at 5%.",
)


def verdict(effect: Effect, smallest: float, kind: Kind) -> Verdict:
    """By RULE; ends that just touch a bound are not beyond it."""
    if kind == "not_less":
        if effect.low > -smallest:
            return "supported"
        return "not supported" if effect.high < -smallest else "undecided"
    if effect.low > 0:
        return "supported"
    is_opposite = effect.high < 0
    is_nothing = -smallest <= effect.low and effect.high <= smallest
    return "not supported" if is_opposite or is_nothing else "undecided"


def p_value(effect: Effect, smallest: float, kind: Kind) -> float:
    """Of no difference; of a difference that matters, where the claim is that there is none."""
    return effect.p_not(-smallest, is_two_sided=False) if kind == "not_less" else effect.p_not(0.0)


def holm(p_values: Sequence[float]) -> list[bool]:
    """Which hypotheses are rejected with at most 5 % chance of any false rejection (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    rejected = [False] * len(p_values)
    for rank, i in enumerate(order):
        if p_values[i] > (1 - LEVEL) / (len(p_values) - rank):
            break
        rejected[i] = True
    return rejected
