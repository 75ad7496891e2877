"""The rule by which an effect becomes a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from rmlab.study.effects import LEVEL, Effect

Verdict = Literal["supported", "contradicted", "negligible", "undecided", "not run"]
Kind = Literal["greater", "not_less"]
VERDICTS: tuple[Verdict, ...] = ("supported", "contradicted", "negligible", "undecided", "not run")

RULE = (
    "Each claim names, before the run, a contrast of cells, a metric and the smallest effect that would "
    "matter. Its effect is the mean difference on test prompts, the same prompts, seeds and set-ups on both "
    "sides; its 95% interval is a bootstrap over prompts, seeds and set-ups, widened for few of them.",
    "A claim that something is better is negligible where the whole interval is within the smallest effect "
    "of 0 on both sides, also where its sign is certain; else supported where the whole interval is above 0, "
    "contradicted where the whole interval is below 0, and undecided otherwise.",
    "A claim that something is no worse is supported where the whole interval is above minus the smallest "
    "effect, contradicted where the whole interval is below that, and undecided otherwise.",
    "At the edge: the verdict would be another if the interval's ends moved by three Monte-Carlo errors "
    "of the bootstrap plus the change that the choice of another response on one prompt makes.",
    "Beside an undecided claim stands the smallest effect that this set could have shown (80% power): "
    "undecided is no evidence of absence.",
    "Several claims are judged at once, so some would get a word by chance. A star marks those whose "
    "evidence survives Holm's correction at 5%, over what every word of every claim rests on: that the "
    "effect is above the bound, below it, or within the smallest effect. Counts are of claims with a star.",
)


def verdict(effect: Effect, smallest: float, kind: Kind) -> Verdict:
    """The verdict by RULE; an end that equals a bound is not beyond it."""
    if kind == "greater" and -smallest <= effect.low and effect.high <= smallest:
        return "negligible"
    bound = _bound(smallest, kind)
    if effect.low > bound:
        return "supported"
    return "contradicted" if effect.high < bound else "undecided"


def is_at_edge(effect: Effect, smallest: float, kind: Kind) -> bool:
    """True if the verdict changes when the interval's ends move by `effect.edge`."""
    word, e = verdict(effect, smallest, kind), effect.edge
    ends = ((effect.low + a, effect.high + b) for a in (-e, e) for b in (-e, e))
    return any(verdict(replace(effect, low=low, high=high), smallest, kind) != word for low, high in ends)


def p_values(effect: Effect, smallest: float, kind: Kind) -> dict[Verdict, float]:
    """One-sided p-values of the hypotheses that the verdicts deny: an effect of at most the bound
    (supported), of at least the bound (contradicted), or of at least `smallest` on either side (negligible).

    The last is the larger of two (Schuirmann 1987).
    """
    bound = _bound(smallest, kind)
    found: dict[Verdict, float] = {
        "supported": effect.p_above(bound),
        "contradicted": effect.p_below(bound),
    }
    if kind == "greater":
        found["negligible"] = max(effect.p_above(-smallest), effect.p_below(smallest))
    return found


def _bound(smallest: float, kind: Kind) -> float:
    return -smallest if kind == "not_less" else 0.0


def survivors(p: Sequence[Mapping[Verdict, float]]) -> list[set[Verdict]]:
    """The verdicts of each claim whose evidence survives a correction over all verdicts of all claims.

    At most two of the hypotheses that a claim's verdicts deny can be true at once (an effect of 0 is below
    `smallest`), so this is Holm's procedure with Shaffer's count of those that may be true (Shaffer 1986):
    the chance of rejecting any true hypothesis is at most 5 %, however the claims depend on each other.
    """
    keys = [(i, word) for i, of in enumerate(p) for word in of]
    rejected = holm([p[i][word] for i, word in keys], most_true=2 * len(p))
    found: list[set[Verdict]] = [set() for _ in p]
    for (i, word), is_rejected in zip(keys, rejected, strict=True):
        if is_rejected:
            found[i].add(word)
    return found


def holm(p_values: Sequence[float], most_true: int | None = None) -> list[bool]:
    """True for each hypothesis that is rejected, with at most 5 % chance of any false rejection (Holm 1979).

    most_true: the largest number of hypotheses that can be true together; by default all.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    most = len(p_values) if most_true is None else most_true
    rejected = [False] * len(p_values)
    for rank, i in enumerate(order):
        if p_values[i] > (1 - LEVEL) / min(most, len(p_values) - rank):
            break
        rejected[i] = True
    return rejected
