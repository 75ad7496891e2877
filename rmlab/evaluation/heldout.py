"""Held-out accuracy: pairs, folds, controls and the rows of its tables."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy.special import expit

from rmlab.config.fitting import Crossval
from rmlab.data.splits import folds_of_groups
from rmlab.errors import InputError
from rmlab.evaluation.judged_arms import bin_rows
from rmlab.evaluation.measure import MAX_PAIRS
from rmlab.heads.baselines import fit_logistic
from rmlab.metrics.accuracy import untied_pairs
from rmlab.metrics.calibration import expected_calibration_error, pair_agreement
from rmlab.metrics.group_mean import credit, group_means
from rmlab.metrics.intervals import Resamples
from rmlab.metrics.order import GoldenOrder
from rmlab.responses.table import Responses
from rmlab.responses.vectors import Vectors
from rmlab.storage.heldout_schema import HELDOUT_PAIRS
from rmlab.storage.table_schema import Row


@dataclass(frozen=True)
class HeldOutPairs:
    """first, second: [n] rows of all responses, in the order of their ids, which says nothing of the answer;
    first_wins: [n] whether the first has the higher golden score. n_ties: pairs that are not here, since
    neither is preferred.
    """

    first: np.ndarray
    second: np.ndarray
    first_wins: np.ndarray
    n_ties: int

    @classmethod
    def among(cls, responses: Responses, mask: np.ndarray) -> HeldOutPairs:
        """The pairs among the responses that the mask [m] names: all, or MAX_PAIRS drawn at random."""
        rows = np.flatnonzero(mask)
        if len(rows) == 0:
            raise InputError("there are no responses to pair; sample at least 2 a prompt")
        part = responses.take(rows)
        order = GoldenOrder.of(part.golden, part.group)
        first, second = untied_pairs(order, MAX_PAIRS, np.random.default_rng(0))
        if len(first) == 0:
            raise InputError(
                "no two answers to a prompt differ in their scores, so no pair can be held out; "
                "bring pairs with a preferred answer"
            )
        wins = part.golden[first] > part.golden[second]
        return cls(rows[first], rows[second], wins, int(sum(block.tied.sum() for block in order.blocks)))

    def __len__(self) -> int:
        return len(self.first)

    @property
    def items(self) -> np.ndarray:
        """[n, 2] rows, the preferred first."""
        preferred = np.where(self.first_wins, self.first, self.second)
        return np.stack([preferred, self.first + self.second - preferred], axis=1)

    def margins(self, scores: np.ndarray) -> np.ndarray:
        """scores: [m] -> [n] of the preferred answer less that of the other."""
        preferred, other = self.items.T
        return scores[preferred] - scores[other]


BASELINE = "logistic_regression"
LENGTH = "length"


class Baseline(NamedTuple):
    """margins: [n] of held-out pairs; strengths: C of each part's fit; unconverged: fits cut short."""

    margins: np.ndarray
    strengths: list[float]
    unconverged: int


def baseline_margins(
    responses: Responses, vectors: Vectors, pairs: HeldOutPairs, parts: np.ndarray, group: np.ndarray
) -> Baseline:
    """By a regression on all pairs outside their part.

    parts: [m] the part of each response, judged by what is fitted on all other parts; -1: never judged.
    group: [m] number of the group of each response's prompt. The regression chooses its strength by
    cross-validation over groups, so it is fitted on the validation pairs too, which heads only choose by.
    """
    margins, unconverged = np.empty(len(pairs)), 0
    strengths: list[float] = []
    for part, here in _parts(parts[pairs.first]):
        train = HeldOutPairs.among(responses, parts != part).items
        rows = np.unique(np.concatenate([train.ravel(), pairs.items[here].ravel()]))
        x = vectors.rows(rows)
        head, c, converged = fit_logistic(x, np.searchsorted(rows, train), group[train[:, 0]])
        strengths.append(c)
        unconverged += not converged
        scores = head.raw(x)
        preferred, other = np.searchsorted(rows, pairs.items[here]).T
        margins[here] = scores[preferred] - scores[other]
    return Baseline(margins, strengths, unconverged)


def length_margins(
    responses: Responses, lengths: np.ndarray, pairs: HeldOutPairs, parts: np.ndarray
) -> np.ndarray:
    """[n] words that the preferred answer has more, or fewer if shorter answers win outside the part."""
    margins = pairs.margins(lengths)
    for part, here in _parts(parts[pairs.first]):
        outside = HeldOutPairs.among(responses, parts != part).margins(lengths)
        if np.sign(outside).mean() < 0:
            margins[here] = -margins[here]
    return margins


def _parts(part: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each part and the pairs [n] that it has."""
    for value in np.unique(part):
        yield int(value), part == value


@dataclass(frozen=True)
class HeldOut:
    """One way of holding out. groups: [n] number of the group of each pair; margins: arm -> [n], log-odds of
    the preference but for length; heads: the arms that are no controls."""

    split: str
    pairs: HeldOutPairs
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


def heldout_calibration_rows(held: HeldOut) -> list[Row]:
    found = {arm: held.probability(arm) for arm in held.margins}
    return [row for arm, of in found.items() if of is not None for row in bin_rows(arm, held.split, *of)]


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
        "prompt_id": responses.prompt_ids.take(preferred),
        "group": pa.array(groups[preferred], pa.string()),
        "preferred": responses.ids.take(preferred),
        "other": responses.ids.take(other),
    }
    tables = []
    for arm, margin in held.margins.items():
        label = {name: pa.repeat(value, n) for name, value in held.label(arm).items()}
        probability = np.full(n, np.nan) if arm == LENGTH else expit(margin)
        columns = {**label, **shared, "margin": margin, "probability": probability}
        tables.append(pa.table(columns, schema=HELDOUT_PAIRS.schema))
    return pa.concat_tables(tables)


def groups_of(responses: Responses) -> np.ndarray:
    """[m] the name of the group of each response's prompt: the prompt's own where it has none."""
    names = responses.prompt_ids if responses.split_groups is None else responses.split_groups
    return names.to_numpy(zero_copy_only=False)


def folds_of(responses: Responses, how: Crossval) -> np.ndarray:
    """[m] int32 fold of each response, 0 to folds - 1."""
    groups = groups_of(responses)
    fold = folds_of_groups(groups.tolist(), how.folds or 0, how.seed)
    return np.array([fold[group] for group in groups], dtype=np.int32)
