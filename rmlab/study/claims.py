"""From the values of cells to effects and verdicts."""

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

ROUGH = 2000  # resamples where no verdict hangs on an interval


@dataclass(frozen=True)
class JudgedClaim:
    """A claim with its effect over all set-ups, and on each where there are several.

    p: of what each word denies; survives: whether the evidence for its word does, in the correction over all
    claims; crossing: where a line along an axis crosses 0; setup: the set-up, or how many are pooled;
    reason: why it was not run.
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
        """The word where its evidence survives the correction; else undecided."""
        return self.verdict if self.survives or self.verdict == "not run" else "undecided"

    @property
    def words(self) -> str:
        """The verdict as reports show it."""
        edge = " (at the edge)" if self.is_at_edge else ""
        return self.verdict + (" ★" if self.survives else "") + edge

    @property
    def n_in_favour(self) -> int:
        """Set-ups whose own effect is above 0; of a claim of no worse, above minus the smallest effect."""
        bound = -self.claim.smallest if self.claim.kind == "not_less" else 0.0
        return sum(e.value > bound for e in self.by_setup.values())


def counts(judged: Sequence[JudgedClaim]) -> dict[Verdict, int]:
    """Of each word that is there, how many claims have it after the correction."""
    found = Counter(j.corrected for j in judged)
    return {word: found[word] for word in VERDICTS if found[word]}


@dataclass(frozen=True)
class Mean:
    """A metric of the cells that differ in their seed and set-up alone; error_rate: of their annotators."""

    axes: Mapping[str, str]
    metric: str
    effect: Effect
    error_rate: float = float("nan")

    @property
    def is_coin(self) -> bool:
        """Whether the answers say next to nothing, so that no claim is judged here."""
        return self.error_rate > NEAR_COIN


def judge(
    members: Mapping[str, Sequence[Member]],
    findings: Sequence[Finding],
    values: CellValues,
    n: int = RESAMPLES,
) -> list[JudgedClaim]:
    """members: of each finding, by its name; n: resamples of an interval."""
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
    """Over all set-ups of the members; NotThere says why there is none."""
    _check_answers(claim.wheres, members, values)
    if claim.plus_of:
        return _effect_of_shares(claim, members, values, rng, n)
    return effect(contrast(claim, members, values), rng, n)


def contrast(claim: Claim, members: Sequence[Member], values: CellValues) -> np.ndarray:
    """[U, S, P]: what the claim is about, of each set-up, seed and prompt."""
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


def _curve(claim: Claim, members: Sequence[Member], values: CellValues) -> tuple[np.ndarray, np.ndarray]:
    """The values x [X] of the axis, and the differences there, [X, U, S, P]."""
    axis = str(claim.along)
    found = [m.axes[axis] for m in members if axis in m.axes and m.is_at(claim.plus[0])]
    try:
        x = sorted(dict.fromkeys(found), key=float)
    except ValueError:
        raise NotThere(f"{axis} has values that are no numbers: there is no line along it") from None
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
    """A head that gains nothing has no share of its gain to keep."""
    wheres = [*claim.plus, *claim.plus_of, *claim.minus, *claim.minus_of]
    parts = values.at(members, wheres, claim.metric).values
    for part, where in ((parts[1], wheres[1]), (parts[3], wheres[3])):
        if not effect(part, rng, min(n, ROUGH)).low > 0:
            raise NotThere(f"{_shown(where)} gains too little over a random choice to speak of a share of it")
    return difference_of_shares(parts, rng, n)


def _check_answers(wheres: Sequence[Where], members: Sequence[Member], values: CellValues) -> None:
    """Of answers like those of a coin nothing is learnt, and what such cells differ in is no finding."""
    for where in wheres:
        rate = values.error_rate(members, where)
        if rate > NEAR_COIN:
            raise NotThere(
                f"{rate:.0%} of the answers at {_shown(where)} are wrong, hardly better than a coin's"
            )


def _shown(where: Where) -> str:
    return " ".join(",".join(found) for found in where.values())


def _weights_of_places(claim: Claim, members: Sequence[Member], values: CellValues) -> np.ndarray:
    """Of the regression on `by`; golden gaps in deviations."""
    x = np.array([_mean_of(members, where, str(claim.by), values) for where in claim.slope])
    if not np.isfinite(x).all() or np.ptp(x) == 0:
        raise NotThere(f"{claim.by} is the same everywhere, or not known: there is no slope")
    return slope_weights(x)


def _mean_of(members: Sequence[Member], where: Where, column: str, values: CellValues) -> float:
    found = []
    for member in members:
        if member.is_at(where):
            unit = values.column(member.cell, "test_golden_deviation") if column == "mean_margin" else 1.0
            found.append(values.column(member.cell, column) / unit)
    return float(np.mean(found))


def means(members: Sequence[Member], values: CellValues, metrics: Sequence[str]) -> list[Mean]:
    """Every place of a finding, with intervals over prompts, seeds and set-ups; what failed is left out."""
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


def _rng(*words: str) -> np.random.Generator:
    """The same for the same claim, whatever else is judged."""
    return np.random.default_rng(zlib.crc32("\n".join(words).encode()))
