"""Fitted gradient-boosted trees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from rmlab.errors import RmlabError
from rmlab.heads.scoring import NormalisedHead
from rmlab.heads.storage import TREES, broken, number_of, read_payload, temperature_of, write_head
from rmlab.heads.trees_text import check_trees


def lightgbm() -> ModuleType:
    """The optional package, imported only where trees are fitted or scored."""
    try:
        import lightgbm as package
    except ImportError:
        raise RmlabError('LightGBM is not installed; run: pip install "rmlab[trees]"') from None
    return package


@dataclass(frozen=True, eq=False, kw_only=True)
class TreesHead(NormalisedHead):
    """raw = the log-odds that a response wins, the sum of the leaves it falls in; of trees grown on the loss
    of pairs a score whose differences are log-odds.

    model: the trees in LightGBM's text format. Trees are blind to the scale of a feature, so there is
    no standardisation to keep.
    """

    kind: ClassVar[str] = "trees"
    model: str = field(repr=False)
    n_threads: int = 1  # of the run, not of the head: it changes no score and is not saved

    @cached_property
    def _booster(self) -> Any:
        return lightgbm().Booster(model_str=self.model)

    @property
    def d(self) -> int:
        return int(self._booster.num_feature())

    def _raw_block(self, x: np.ndarray) -> np.ndarray:
        return self._booster.predict(x, raw_score=True, num_threads=self.n_threads)

    def save(self, folder: Path) -> None:
        write_head(folder, TREES, self.model.encode(), self._description())

    @classmethod
    def load(cls, folder: Path, description: Mapping[str, Any]) -> TreesHead:
        model = read_payload(folder, TREES, description).decode()
        head = cls(
            model=model,
            gain=number_of(description, "gain"),
            bias=number_of(description, "bias"),
            temperature=temperature_of(description),
        )
        try:
            check_trees(model)
            width = head.d
        except (ValueError, KeyError, lightgbm().basic.LightGBMError):
            raise broken(folder, f"{TREES} is not a LightGBM model") from None
        if width != description["d"]:
            raise broken(folder, f"{TREES} has {width} features, not {description['d']}")
        return head
