"""Heads of several objectives as one, weighted when they score: no weight needs a fit of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from rmlab.errors import ConfigError
from rmlab.heads.scoring import NormalisedHead
from rmlab.heads.storage import check_members, number_of, temperature_of, write_members


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightedHead(NormalisedHead):
    """raw = sum_j weights[j] r_j, with r_j = gain_j raw_j + bias_j of member j; reward = gain raw + bias.

    members: one head an objective, by its name, such as a golden reward's: each fitted on comparisons that
    this reward answers. They are `normalised`, so that a weight says how much of a standard deviation of
    that objective counts. weights: by the same names, any finite numbers, not all 0; a negative one
    asks for less of the objective. A linear scalarisation reaches the convex hull of the frontier alone.
    Of linear heads it is the linear head whose weight is sum_j weights[j] gain_j w_j. The setting
    `objectives` fits one; `with_weights` gives other weights without another fit.
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
        """The same heads, weighted otherwise, with the gain and bias of the last `normalised` undone."""
        return replace(self, weights=dict(weights), gain=1.0, bias=0.0, temperature=1.0)

    def save(self, folder: Path) -> None:
        """A folder for each member, then head.json, which vouches for the members' own head.json."""
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
        """members: as loaded from the folders that the description names."""
        check_members(folder, description["members"], description)
        names = [str(name) for name in description["objectives"]]
        weights = [float(weight) for weight in description["weights"]]
        if len(set(names)) != len(names):
            raise ValueError("two objectives have one name")
        return cls(
            members=dict(zip(names, members, strict=True)),
            weights=dict(zip(names, weights, strict=True)),
            gain=number_of(description, "gain"),
            bias=number_of(description, "bias"),
            temperature=temperature_of(description),
        )
