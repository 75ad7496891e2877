"""Several fitted heads that score as one: an ensemble, or a weighted sum of several objectives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np

from rmlab.errors import ConfigError
from rmlab.heads.fitted.base import NormalisedHead, mean_zero_std_one
from rmlab.heads.fitted.storage import check_members, number_of, scale_of, write_members

Combine = Literal["mean", "min", "lcb"]


@dataclass(frozen=True, eq=False, kw_only=True)
class EnsembleHead(NormalisedHead):
    """An ensemble with reward = gain * c + bias, where c combines the rewards r_j of its members.

    mean: c = mean_j r_j; min: c = min_j r_j; lcb: c = mean_j r_j - k std_j r_j, with the population standard
    deviation over members. After `normalised` each r_j has mean 0 and standard deviation 1 on the reference
    responses, so that no member dominates by its scale; before it, r_j is as fitted.
    """

    kind: ClassVar[str] = "ensemble"
    members: tuple[NormalisedHead, ...]
    combine: Combine = "mean"
    k: float = 1.0

    def __post_init__(self) -> None:
        check_combination(self.combine, self.k)
        if len({member.d for member in self.members}) != 1:
            raise ValueError("members must be one or more heads of the same width")

    @property
    def d(self) -> int:
        return self.members[0].d

    def _raw_block(self, x: np.ndarray) -> np.ndarray:
        """Returns the mean of the members' scores as fitted, whose differences are read as log-odds."""
        return self.member_raw(x).mean(axis=1)

    def member_raw(self, x: np.ndarray) -> np.ndarray:
        """[m, d] embeddings -> [m, members] float64 scores as fitted, one pass over x for each member."""
        return np.column_stack([member.raw(x) for member in self.members])

    def combined(self, member_raw: np.ndarray) -> np.ndarray:
        """[m, members] scores as fitted -> [m] rewards."""
        return self.gain * self._combine(self._rewards(member_raw)) + self.bias

    def score_and_raw(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        member_raw = self.member_raw(x)
        return self.combined(member_raw), member_raw.mean(axis=1)

    def features(self, x: np.ndarray) -> np.ndarray:
        """Returns the features of the first member; those of different members are not comparable."""
        return self.members[0].features(x)

    def uncertainty(self, x: np.ndarray) -> np.ndarray:
        """Returns the standard deviation over members, in units of the ensemble's reward, [m]. x: [m, d]."""
        return self.gain * self._rewards(self.member_raw(x)).std(axis=1)

    def margin(self, x_a: np.ndarray, x_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean and sample standard deviation over members of raw_a - raw_b, [m] each.

        x_a, x_b: [m, d].
        """
        difference = self.member_raw(x_a) - self.member_raw(x_b)
        return difference.mean(axis=1), difference.std(axis=1, ddof=1 if len(self.members) > 1 else 0)

    def normalised(self, reference_x: np.ndarray) -> Self:
        return self.calibrated(self.member_raw(reference_x))

    def calibrated(self, member_raw: np.ndarray) -> Self:
        """Returns the normalised ensemble by the scores `member_raw` of reference responses, [m, members]."""
        scales = [mean_zero_std_one(raw) for raw in member_raw.T]
        members = tuple(
            replace(member, gain=gain, bias=bias)
            for member, (gain, bias) in zip(self.members, scales, strict=True)
        )
        scaled = replace(self, members=members)
        gain, bias = mean_zero_std_one(scaled._combine(scaled._rewards(member_raw)))
        return replace(scaled, gain=gain, bias=bias)

    def _rewards(self, member_raw: np.ndarray) -> np.ndarray:
        """Returns the members' rewards, [m, members]."""
        gain = np.array([member.gain for member in self.members])
        return gain * member_raw + np.array([member.bias for member in self.members])

    def _combine(self, rewards: np.ndarray) -> np.ndarray:
        """Returns c, [m], from the members' rewards."""
        if self.combine == "min":
            return rewards.min(axis=1)
        mean = rewards.mean(axis=1)
        return mean - self.k * rewards.std(axis=1) if self.combine == "lcb" else mean

    def save(self, folder: Path) -> None:
        """Writes a folder for each member, then head.json, which holds the digests of their head.json."""
        names = [f"member-{index:03d}" for index in range(len(self.members))]
        record = {**self._description(), "combine": self.combine, "k": self.k, "members": names}
        write_members(folder, dict(zip(names, self.members, strict=True)), record)

    @classmethod
    def load(
        cls, folder: Path, description: Mapping[str, Any], members: Sequence[NormalisedHead]
    ) -> EnsembleHead:
        """Checks the files and returns the head.

        members: loaded from the folders that the description names.
        """
        check_members(folder, description["members"], description)
        return cls(
            members=tuple(members),
            combine=description["combine"],
            k=number_of(description, "k"),
            **scale_of(description),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightedHead(NormalisedHead):
    """raw = sum_j weights[j] r_j, with r_j = gain_j raw_j + bias_j of member j; reward = gain raw + bias.

    members: a head for each objective by name, fitted on comparisons that the golden reward of this name
    answers. They are `normalised`, so weights are in units of an objective's standard deviation. weights: any
    finite numbers by the same names, not all 0; a negative one asks for less of the objective. Such a linear
    scalarisation only reaches the convex hull of the Pareto frontier. For linear heads it equals the linear
    head with weight sum_j weights[j] gain_j w_j. The setting `objectives` fits one; `with_weights` gives
    other weights without another fit.
    Source: linear scalarisation of reward models, as Rame et al. 2023 (arXiv 2306.04488) compare with.
    """

    kind: ClassVar[str] = "weighted"
    members: Mapping[str, NormalisedHead]
    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        if not self.members or len({member.d for member in self.members.values()}) != 1:
            raise ValueError("members must be one or more heads of the same width")
        if set(self.weights) != set(self.members):
            known, given = ", ".join(self.members), ", ".join(self.weights)
            raise ConfigError(
                f"weights are for {given or 'nothing'}, the heads for {known}; weigh each of these"
            )
        values = np.array(list(self.weights.values()), dtype=float)
        if not np.isfinite(values).all() or not values.any():
            raise ConfigError("the weights of a weighted head must be finite, and one at least not 0")

    @property
    def d(self) -> int:
        return next(iter(self.members.values())).d

    def _raw_block(self, x: np.ndarray) -> np.ndarray:
        return self.combined(self.member_rewards(x))

    def member_rewards(self, x: np.ndarray) -> np.ndarray:
        """[m, d] embeddings -> [m, members] float64 rewards, one pass over x for each member."""
        return np.column_stack([member.score(x) for member in self.members.values()])

    def combined(self, rewards: np.ndarray) -> np.ndarray:
        """[m, members] rewards -> [m] raw."""
        return rewards @ np.array([self.weights[name] for name in self.members], dtype=float)

    def with_weights(self, weights: Mapping[str, float]) -> Self:
        """Returns the same heads with other weights, no longer normalised as a whole."""
        return replace(self, weights=dict(weights), gain=1.0, bias=0.0, temperature=1.0)

    def save(self, folder: Path) -> None:
        """Writes a folder for each member, then head.json, which holds the digests of their head.json."""
        folders = [f"objective-{index:03d}" for index in range(len(self.members))]
        record = {
            **self._description(),
            "objectives": list(self.members),
            "weights": [float(self.weights[name]) for name in self.members],
            "members": folders,
        }
        write_members(folder, dict(zip(folders, self.members.values(), strict=True)), record)

    @classmethod
    def load(
        cls, folder: Path, description: Mapping[str, Any], members: Sequence[NormalisedHead]
    ) -> WeightedHead:
        """Checks the files and returns the head.

        members: loaded from the folders that the description names.
        """
        check_members(folder, description["members"], description)
        names = [str(name) for name in description["objectives"]]
        weights = [float(weight) for weight in description["weights"]]
        if len(set(names)) != len(names):
            raise ValueError("two objectives have one name")
        return cls(
            members=dict(zip(names, members, strict=True)),
            weights=dict(zip(names, weights, strict=True)),
            **scale_of(description),
        )


def check_combination(combine: str, k: float) -> None:
    """Raises ValueError for settings of no ensemble."""
    if combine not in get_args(Combine):
        raise ValueError(f"combine must be one of {', '.join(get_args(Combine))}, got {combine}")
    if not 0 <= k < np.inf:
        raise ValueError(f"k must be a finite number >= 0, got {k}")
