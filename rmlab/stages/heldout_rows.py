"""Rows of the tables of held-out pairs."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.special import expit

from rmlab.artifacts.heldout_schema import HELDOUT_PAIRS
from rmlab.metrics.calibration import expected_calibration_error, reliability
from rmlab.metrics.group_mean import credit, group_means
from rmlab.metrics.pair_agreement import pair_agreement
from rmlab.metrics.resamples import Resamples
from rmlab.stages.heldout_controls import BASELINE, LENGTH
from rmlab.stages.pairs import Pairs
from rmlab.stages.responses import Responses

Row = dict[str, Any]


@dataclass(frozen=True)
class HeldOut:
    """One way of holding out. groups: [n] number of the group of each pair; margins: arm -> [n], log-odds of
    the preference but for length; heads: the arms that are no controls."""

    split: str
    pairs: Pairs
    groups: np.ndarray
    margins: dict[str, np.ndarray]
    heads: tuple[str, ...]

    @cached_property
    def group(self) -> np.ndarray:
        """[n] the same, numbered from 0 without a gap."""
        return np.unique(self.groups, return_inverse=True)[1]

    def label(self, arm: str) -> Row:
        return {"arm": arm, "kind": "head" if arm in self.heads else "control", "split": self.split}

    def probability(self, arm: str) -> tuple[np.ndarray, np.ndarray] | None:
        """[n] that the first answer is preferred, and [n] whether it is; None without log-odds.

        The first by id, not the preferred one: else every answer would be right.
        """
        if arm == LENGTH:
            return None
        wins = self.pairs.first_wins
        return expit(np.where(wins, 1, -1) * self.margins[arm]), wins


def accuracy_rows(held: HeldOut, n_resamples: int, seed: int) -> list[Row]:
    """Every arm is judged on the same resamples of groups, so differences are paired."""
    n_groups = int(held.group.max()) + 1
    rng = np.random.default_rng([seed, zlib.crc32(f"heldout-{held.split}".encode())])
    resamples = Resamples.draw(n_groups, rng, n_resamples)
    values = np.column_stack([credit(margin) for margin in held.margins.values()])
    baseline = values[:, [list(held.margins).index(BASELINE)]]
    found = np.stack(group_means(values, held.group, resamples), axis=1)
    over = np.stack(group_means(values - baseline, held.group, resamples), axis=1)
    shared = {"n_pairs": len(held.pairs), "n_ties": held.pairs.n_ties, "n_groups": n_groups}
    rows = []
    for k, (arm, margin) in enumerate(held.margins.items()):
        probability = held.probability(arm)
        ece = np.nan if probability is None else expected_calibration_error(*probability)
        value, low, high = found[k]
        numbers = {"value": value, "low": np.clip(low, 0, 1), "high": np.clip(high, 0, 1)}
        numbers |= dict(zip(("over", "over_low", "over_high"), over[k], strict=True))
        rows.append({**held.label(arm), **numbers, "ece": ece, "n_equal": int((margin == 0).sum()), **shared})
    return rows


def calibration_rows(held: HeldOut) -> list[Row]:
    rows = []
    for arm in held.margins:
        probability = held.probability(arm)
        if probability is None:
            continue
        found = reliability(*probability)
        for k in np.flatnonzero(found["count"]):
            row = {"bin": int(k), "predicted": found["prob"][k], "observed": found["correct"][k]}
            rows.append({"arm": arm, "split": held.split, **row, "count": int(found["count"][k])})
    return rows


def agreement_rows(held: HeldOut) -> list[Row]:
    """Every two arms once, in the order of the arms."""
    sign = np.where(held.pairs.first_wins, 1, -1)
    rows = []
    for arm, other in combinations(held.margins, 2):
        found = pair_agreement(sign * held.margins[arm], sign * held.margins[other])
        numbers = {"share": found.share, "kappa": found.kappa, "n_pairs": found.n}
        rows.append({"arm": arm, "other": other, "split": held.split, **numbers})
    return rows


def pair_table(held: HeldOut, responses: Responses, groups: np.ndarray) -> pa.Table:
    """groups: [m] name of each response's group."""
    preferred, other = held.pairs.items.T
    n = len(held.pairs)
    shared = {
        "prompt_id": pa.array(responses.prompt_ids[preferred], pa.string()),
        "group": pa.array(groups[preferred], pa.string()),
        "preferred": pa.array(responses.ids[preferred], pa.string()),
        "other": pa.array(responses.ids[other], pa.string()),
    }
    tables = []
    for arm, margin in held.margins.items():
        label = {name: pa.repeat(value, n) for name, value in held.label(arm).items()}
        probability = np.full(n, np.nan) if arm == LENGTH else expit(margin)
        columns = {**label, **shared, "margin": margin, "probability": probability}
        tables.append(pa.table(columns, schema=HELDOUT_PAIRS.schema))
    return pa.concat_tables(tables)
