"""A fitted head for embeddings less the mean of their prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from rmlab.errors import ConfigError
from rmlab.heads.fitted.base import NormalisedHead
from rmlab.heads.fitted.storage import check_members, write_members

MEMBER = "head"


@dataclass(frozen=True, eq=False)
class CentredHead:
    """reward = head(x - mean of x over the responses to the same prompt), as fitted with head.centre=prompt.

    `head` was fitted on such differences. This head takes plain embeddings and subtracts the means itself, so
    it needs the prompt of each row (group), and all responses to a prompt that are to be compared must come
    in one call. The only response to a prompt has the zero vector, so all such responses get the same reward.
    """

    kind: ClassVar[str] = "centred"
    head: NormalisedHead

    @property
    def d(self) -> int:
        return self.head.d

    @property
    def temperature(self) -> float:
        return self.head.temperature

    def tempered(self, temperature: float) -> Self:
        return replace(self, head=self.head.tempered(temperature))

    def score(self, x: np.ndarray, group: np.ndarray | None = None) -> np.ndarray:
        """[m, d] embeddings and [m] their prompts -> [m] float64 rewards."""
        return self.head.score(_centred(x, group))

    def raw(self, x: np.ndarray, group: np.ndarray | None = None) -> np.ndarray:
        return self.head.raw(_centred(x, group))

    def score_and_raw(self, x: np.ndarray, group: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        return self.head.score_and_raw(_centred(x, group))

    def features(self, x: np.ndarray, group: np.ndarray | None = None) -> np.ndarray:
        return self.head.features(_centred(x, group))

    def normalised(self, reference_x: np.ndarray, group: np.ndarray | None = None) -> Self:
        return replace(self, head=self.head.normalised(_centred(reference_x, group)))

    def save(self, folder: Path) -> None:
        """Writes the inner head into a folder, then head.json, which holds the digest of its head.json."""
        write_members(folder, {MEMBER: self.head}, {"kind": self.kind, "centre": "prompt", "d": self.d})

    @classmethod
    def load(
        cls, folder: Path, description: Mapping[str, Any], members: Sequence[NormalisedHead]
    ) -> CentredHead:
        """Checks the files and returns the head. members: the one that was loaded from the folder MEMBER."""
        check_members(folder, [MEMBER], description)
        [head] = members
        if description["centre"] != "prompt" or description["d"] != head.d:
            raise ValueError("centre is not prompt, or d is not that of the head")
        return cls(head)


def prompt_means(x: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Returns for each row of x the mean of its group's rows, [m, d] float32.

    group: [m], prompts of the rows.
    """
    _, number, size = np.unique(group, return_inverse=True, return_counts=True)
    total = np.zeros((len(size), x.shape[1]))
    np.add.at(total, number, x)
    return (total / size[:, None]).astype(np.float32)[number]


def _centred(x: np.ndarray, group: np.ndarray | None) -> np.ndarray:
    """Returns x less the means of its prompts; raises ConfigError without them."""
    if group is None or len(group) != len(x):
        raise ConfigError(
            "this head was fitted with head.centre=prompt, so it needs the prompt of each response: "
            "score(x, group)"
        )
    return x - prompt_means(x, group)
