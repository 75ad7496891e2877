"""From the values of cells to effects and verdicts."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rmlab.errors import InputError
from rmlab.study.cells import ARM, SEED, Member
from rmlab.study.finding import Claim, Finding, Where
from rmlab.study.two_way import Effect, effect
from rmlab.study.values import CellValues, NotThere
from rmlab.study.verdict import Verdict, holm, p_value, verdict


@dataclass(frozen=True)
class Judged:
    """A claim with its effect; survives: Holm's correction over all claims; reason: why it was not run."""

    finding: Finding
    claim: Claim
    verdict: Verdict
    effect: Effect | None = None
    p: float = float("nan")
    survives: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Mean:
    """A metric of the cells that differ in their seed alone."""

    axes: Mapping[str, str]
    metric: str
    effect: Effect


def judge(
    members: Mapping[str, Sequence[Member]], findings: Sequence[Finding], values: CellValues
) -> list[Judged]:
    """members: of each finding, by its name."""
    found = [_judge(f, claim, members[f.name], values) for f in findings for claim in f.claims]
    known = [j for j in found if j.effect is not None]
    survivors = dict(zip(map(id, known), holm([j.p for j in known]), strict=True))
    return [replace(j, survives=survivors.get(id(j), False)) for j in found]


def _judge(finding: Finding, claim: Claim, members: Sequence[Member], values: CellValues) -> Judged:
    try:
        differences = contrast(claim, members, values)
        found = effect(differences, _rng(finding.name, claim.statement))
    except (NotThere, InputError) as error:
        return Judged(finding, claim, "not run", reason=str(error))
    p = p_value(found, claim.smallest, claim.kind)
    return Judged(finding, claim, verdict(found, claim.smallest, claim.kind), found, p)


def contrast(claim: Claim, members: Sequence[Member], values: CellValues) -> np.ndarray:
    """[S, P]: what the claim is about, of each seed and prompt; prompts without a value are left out."""
    if claim.slope:
        weights = _slope_weights(claim, members, values)
        places = list(zip(weights, claim.slope, strict=True))
    else:
        places = [*((1.0, where) for where in claim.plus), *((-1.0, where) for where in claim.minus)]
    values.check_prompts([m.cell for m in members if any(m.is_at(where) for _, where in places)])
    terms = [(weight, values.at(members, where, claim.metric)) for weight, where in places]
    seeds = sorted(set.intersection(*(set(found) for _, found in terms)), key=int)
    if not seeds:
        raise NotThere("no seed is on both sides")
    total = np.array([sum(weight * found[seed] for weight, found in terms) for seed in seeds])
    kept = ~np.isnan(total).any(axis=0)
    if kept.sum() < 2:
        raise NotThere(f"{claim.metric} is defined on fewer than 2 prompts")
    return total[:, kept]


def _slope_weights(claim: Claim, members: Sequence[Member], values: CellValues) -> np.ndarray:
    """Of the regression of a value on x: (x - mean) / sum (x - mean)^2; golden gaps in deviations."""
    x = np.array([_mean_of(members, where, str(claim.by), values) for where in claim.slope])
    centred = x - x.mean()
    if not np.isfinite(x).all() or np.ptp(x) == 0:
        raise NotThere(f"{claim.by} is the same everywhere, or not known: there is no slope")
    return centred / (centred**2).sum()


def _mean_of(members: Sequence[Member], where: Where, column: str, values: CellValues) -> float:
    found = []
    for member in members:
        if member.is_at(where):
            values.of(member.cell, "accuracy")  # a cell that failed has no column either
            unit = values.column(member.cell, "test_golden_deviation") if column == "mean_margin" else 1.0
            found.append(values.column(member.cell, column) / unit)
    return float(np.mean(found))


def means(members: Sequence[Member], values: CellValues, metrics: Sequence[str]) -> list[Mean]:
    """Every place of a finding, with intervals over prompts and seeds; those that failed are left out."""
    places: dict[tuple[tuple[str, str], ...], Where] = {}
    for member in members:
        axes = {axis: value for axis, value in member.axes.items() if axis != SEED}
        places.setdefault(tuple(axes.items()), {axis: [value] for axis, value in axes.items()})
    found = []
    for key, where in places.items():
        here = [m for m in members if m.is_at(where) and len(m.axes) == len(key) + 1]
        for metric in metrics:
            try:
                by_seed = np.array(list(values.at(here, where, metric).values()))
                kept = by_seed[:, ~np.isnan(by_seed).any(axis=0)]
                found.append(Mean(dict(key), metric, effect(kept, _rng(metric, dict(key)[ARM]), n=500)))
            except (NotThere, InputError):
                continue
    return found


def _rng(*words: str) -> np.random.Generator:
    """The same for the same claim, whatever else is judged."""
    return np.random.default_rng(zlib.crc32("\n".join(words).encode()))
