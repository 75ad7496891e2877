"""Judges claims: from the metrics of cells to effects and verdicts."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rmlab.errors import InputError
from rmlab.noise.error_report import NEAR_COIN
from rmlab.study.effects import (
    RESAMPLES,
    Crossing,
    Effect,
    crossing,
    difference_of_shares,
    effect,
    slope_weights,
)
from rmlab.study.finding import Claim, Finding, Where
from rmlab.study.plan import ARM, SEED, Member
from rmlab.study.values import CellValues, NotThere
from rmlab.study.verdict import VERDICTS, Verdict, is_at_edge, p_values, survivors, verdict

ROUGH = 2000  # resamples for intervals that decide no verdict


def judge_claims(
    members: Mapping[str, Sequence[Member]],
    findings: Sequence[Finding],
    values: CellValues,
    n: int = RESAMPLES,
) -> list[JudgedClaim]:
    """Judges every claim of the findings. members: by finding name; n: resamples for each interval."""
    found = [_judge(f, claim, members[f.name], values, n) for f in findings for claim in f.claims]
    survive = survivors([j.p for j in found])
    return [replace(j, survives=j.verdict in words) for j, words in zip(found, survive, strict=True)]


def _judge(
    finding: Finding, claim: Claim, members: Sequence[Member], values: CellValues, n: int
) -> JudgedClaim:
    setups = list(dict.fromkeys(m.setup for m in members))
    setup = setups[0] if len(setups) == 1 else f"{len(setups)} set-ups"
    try:
        found = effect_of(claim, members, values, _rng(finding.name, claim.statement), n)
        by_setup = {}
        if found.n_setups > 1:
            for one in setups:
                of = [m for m in members if m.setup == one]
                rng = _rng(finding.name, claim.statement, one)
                by_setup[one] = effect_of(claim, of, values, rng, min(n, ROUGH))
    except (NotThere, InputError) as error:
        return JudgedClaim(finding, claim, "not run", setup=setup, reason=str(error))
    rule = (found, claim.smallest, claim.kind)
    crosses = _crossing(claim, members, values) if claim.along else None
    return JudgedClaim(
        finding,
        claim,
        verdict(*rule),
        found,
        p_values(*rule),
        is_at_edge=is_at_edge(*rule),
        crossing=crosses,
        by_setup=by_setup,
        setup=setup,
    )


def effect_of(
    claim: Claim,
    members: Sequence[Member],
    values: CellValues,
    rng: np.random.Generator,
    n: int = RESAMPLES,
) -> Effect:
    """The effect of a claim over all set-ups of the members; raises NotThere if there is none."""
    _check_answers(claim.wheres, members, values)
    if claim.plus_of:
        return _effect_of_shares(claim, members, values, rng, n)
    return effect(contrast(claim, members, values), rng, n)


def contrast(claim: Claim, members: Sequence[Member], values: CellValues) -> np.ndarray:
    """The quantity whose mean is the claim's effect, for each set-up, seed and prompt: [U, S, P]."""
    if claim.along:
        x, differences = _curve(claim, members, values)
        slope = np.tensordot(slope_weights(x), differences, axes=1)
        if claim.height_at is None:
            return slope
        return differences.mean(axis=0) + (claim.height_at - x.mean()) * slope
    if claim.slope:
        weights, wheres = _weights_of_places(claim, members, values), claim.slope
    else:
        weights = np.array([1.0] * len(claim.plus) + [-1.0] * len(claim.minus))
        wheres = [*claim.plus, *claim.minus]
    return np.tensordot(weights, values.at(members, wheres, claim.metric).values, axes=1)


def _weights_of_places(claim: Claim, members: Sequence[Member], values: CellValues) -> np.ndarray:
    """Weights of the regression on the column `by`; golden gaps are in standard deviations."""
    x = np.array([_mean_of(members, where, str(claim.by), values) for where in claim.slope])
    if not np.isfinite(x).all() or np.ptp(x) == 0:
        raise NotThere(f"{claim.by} is unknown or the same everywhere, so there is no slope")
    return slope_weights(x)


def _mean_of(members: Sequence[Member], where: Where, column: str, values: CellValues) -> float:
    found = []
    for member in members:
        if member.is_at(where):
            unit = values.column(member.cell, "test_golden_deviation") if column == "mean_margin" else 1.0
            found.append(values.column(member.cell, column) / unit)
    return float(np.mean(found))


def _curve(claim: Claim, members: Sequence[Member], values: CellValues) -> tuple[np.ndarray, np.ndarray]:
    """The values x [X] of the axis, and the differences there, [X, U, S, P]."""
    axis = str(claim.along)
    found = [m.axes[axis] for m in members if axis in m.axes and m.is_at(claim.plus[0])]
    try:
        x = sorted(dict.fromkeys(found), key=float)
    except ValueError:
        raise NotThere(f"a line along {axis} needs numbers, and it has other values") from None
    if len(x) < 3:
        raise NotThere(f"a line along {axis} needs 3 values of it; there are {len(x)}")
    sides = [(1.0, where) for where in claim.plus] + [(-1.0, where) for where in claim.minus]
    wheres = [{**where, axis: [value]} for value in x for _, where in sides]
    of = values.at(members, wheres, claim.metric).values
    signs = np.array([sign for sign, _ in sides])
    return np.array(x, dtype=float), np.tensordot(
        signs, of.reshape(len(x), len(sides), *of.shape[1:]), (0, 1)
    )


def _crossing(claim: Claim, members: Sequence[Member], values: CellValues) -> Crossing:
    x, differences = _curve(claim, members, values)
    return crossing(differences, x)


def _effect_of_shares(
    claim: Claim, members: Sequence[Member], values: CellValues, rng: np.random.Generator, n: int
) -> Effect:
    """The effect of a claim on shares; raises NotThere if a head whose gain is shared gains nothing."""
    wheres = [*claim.plus, *claim.plus_of, *claim.minus, *claim.minus_of]
    parts = values.at(members, wheres, claim.metric).values
    for part, where in ((parts[1], wheres[1]), (parts[3], wheres[3])):
        if not effect(part, rng, min(n, ROUGH)).low > 0:
            raise NotThere(f"{_shown(where)} gains too little over a random choice to speak of a share of it")
    return difference_of_shares(parts, rng, n)


def _check_answers(wheres: Sequence[Where], members: Sequence[Member], values: CellValues) -> None:
    """Raises NotThere if a place's annotators err about as often as a coin: heads learn nothing from them."""
    for where in wheres:
        rate = values.error_rate(members, where)
        if rate > NEAR_COIN:
            raise NotThere(
                f"{rate:.0%} of the answers at {_shown(where)} are wrong, hardly better than a coin's"
            )


def _shown(where: Where) -> str:
    return " ".join(",".join(found) for found in where.values())


@dataclass(frozen=True)
class JudgedClaim:
    """A claim with its verdict, its effect over all set-ups, and on each of them if there are several.

    p: p-values of the hypotheses that the verdicts deny; survives: true if the evidence for the verdict
    survives the correction over all claims; crossing: where the line of a claim along an axis crosses 0;
    setup: the name of the set-up, or how many are pooled; reason: why the claim was not run.
    """

    finding: Finding
    claim: Claim
    verdict: Verdict
    effect: Effect | None = None
    p: Mapping[Verdict, float] = field(default_factory=dict)
    survives: bool = False
    is_at_edge: bool = False
    crossing: Crossing | None = None
    by_setup: Mapping[str, Effect] = field(default_factory=dict)
    setup: str = ""
    reason: str = ""

    @property
    def corrected(self) -> Verdict:
        """The verdict if its evidence survives the correction, else undecided."""
        return self.verdict if self.survives or self.verdict == "not run" else "undecided"

    @property
    def words(self) -> str:
        """The verdict as reports show it."""
        edge = " (at the edge)" if self.is_at_edge else ""
        return self.verdict + (" ★" if self.survives else "") + edge

    @property
    def n_in_favour(self) -> int:
        """Number of set-ups whose effect is above 0; for "not_less" claims, above minus `smallest`."""
        bound = -self.claim.smallest if self.claim.kind == "not_less" else 0.0
        return sum(e.value > bound for e in self.by_setup.values())


def counts(judged: Sequence[JudgedClaim]) -> dict[Verdict, int]:
    """Number of claims with each verdict after the correction; verdicts that no claim has are left out."""
    found = Counter(j.corrected for j in judged)
    return {word: found[word] for word in VERDICTS if found[word]}


def means(members: Sequence[Member], values: CellValues, metrics: Sequence[str]) -> list[Mean]:
    """The mean of each metric at every place of a finding; places where cells failed are left out."""
    places: dict[tuple[tuple[str, str], ...], Where] = {}
    for member in members:
        axes = {axis: value for axis, value in member.axes.items() if axis != SEED}
        places.setdefault(tuple(axes.items()), {axis: [value] for axis, value in axes.items()})
    found = []
    for key, where in places.items():
        here = [m for m in members if m.is_at(where) and len(m.axes) == len(key) + 1]
        rate = values.error_rate(here, where)
        for metric in metrics:
            try:
                stacked = values.at(here, [where], metric)
                of = effect(stacked.values[0], _rng(metric, dict(key)[ARM]), ROUGH)
            except (NotThere, InputError):
                continue
            found.append(Mean(dict(key), metric, of, rate))
    return found


@dataclass(frozen=True)
class Mean:
    """The mean metric of cells that differ only in seed and set-up; error_rate: that of their annotators."""

    axes: Mapping[str, str]
    metric: str
    effect: Effect
    error_rate: float = float("nan")

    @property
    def is_coin(self) -> bool:
        """True if the annotators err about as often as a coin, so that no claim is judged here."""
        return self.error_rate > NEAR_COIN


def _rng(*words: str) -> np.random.Generator:
    """A generator seeded by the words, so that a claim's interval does not depend on the other claims."""
    return np.random.default_rng(zlib.crc32("\n".join(words).encode()))
