"""The study at full scale, as commands: a run for each policy and task, and the sweeps over its heads."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Lines = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Setup:
    """One policy on one task; n_cells heads are fitted and judged on its embeddings."""

    name: str
    policy: dict[str, Any]
    task: str
    heads: Lines
    pairings: Lines
    axes: tuple[str, ...]
    n_cells: int

    def commands(self, folder: str) -> list[list[str]]:
        shared = [
            f"experiment={self.task}",
            f"input={folder}",
            f"model={self.policy['model']}",
            f"sft={self.policy['sft']}",
        ]
        grids = [(*pairing, *head) for pairing in self.pairings for head in self.heads]
        sweeps = [["sweep", *shared, *grid, *self.axes] for grid in grids]
        return [["run", *shared], *sweeps]


@dataclass(frozen=True)
class Plan:
    setups: tuple[Setup, ...]
    shape: dict[str, Any]
    supposed: dict[str, float]
    measured_on: str | None
    seconds: dict[str, dict[int, float]]  # of one core, by head and budget
    budgets: tuple[int, ...]
    heads: tuple[str, ...]

    @classmethod
    def of(cls, content: dict[str, Any]) -> Plan:
        axes = (
            _axis("noise.error", content["errors"]),
            _axis("comparisons.n", content["budgets"]),
            _axis("seed", content["seeds"]),
        )
        heads, pairings = (_lines(content[k].values()) for k in ("heads", "pairings"))
        n = len(heads) * len(pairings) * math.prod(len(content[k]) for k in ("errors", "budgets", "seeds"))
        setups = tuple(
            Setup(f"{name}/{task}", policy, task, heads, pairings, axes, n)
            for name, policy in content["policies"].items()
            for task in content["tasks"]
        )
        measured = content["measured"]
        date = None if measured["date"] is None else str(measured["date"])
        return cls(
            setups,
            content["shape"],
            {k: float(v) for k, v in content["supposed"].items()},
            date,
            measured["seconds"],
            tuple(content["budgets"]),
            tuple(content["heads"]),
        )


def _lines(values: Iterable[list[str]]) -> Lines:
    return tuple(tuple(line) for line in values)


def _axis(key: str, values: Iterable[Any]) -> str:
    return f"{key}={','.join(map(str, values))}"
