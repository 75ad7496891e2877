"""A small grid over the session's small run, in this process or in workers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from small_settings import SMALL

from rmlab.config.grid import points
from rmlab.pipeline.node import Node
from rmlab.pipeline.run import run_nodes
from rmlab.sweeps.plan import plan_sweep

TIMES = ["seconds", "fit_seconds"]


def copied(small_run: Path, to: Path) -> Path:
    """A copy of the artifacts to write into, without the stages that a sweep does not read, and without logs."""
    left_out = shutil.ignore_patterns("eval_rm", "report", "sft", "logs")
    return Path(shutil.copytree(small_run, to, ignore=left_out))


def node_of(out: Path, *grid: str, workers: int = 1, fresh: bool = False) -> Node:
    return plan_sweep(points([*SMALL, f"out={out}", *grid]), workers, fresh)


def swept(out: Path, *grid: str, workers: int = 1, force: bool = False) -> pd.DataFrame:
    node = node_of(out, *grid, workers=workers, fresh=force)
    outcome = run_nodes([node], "test", force, quiet=True)[0]
    assert outcome.artifact is not None
    return outcome.artifact.read("results").to_pandas()


def heads(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["kind"] == "head"].reset_index(drop=True)


class Inline:
    """In place of worker processes: counts the cells that are run; Ctrl-C after so many rows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.axes: list[dict[str, str]] = []
        self.groups: list[int] = []
        self.stop_after: int | None = None
        monkeypatch.setattr("rmlab.stages.sweep.in_workers", self)

    def __call__(self, work: Callable, tasks: Iterator, *_: object) -> Iterator:
        n = 0
        for cells, folder in tasks:
            self.groups.append(len(cells))
            told: list[dict[str, str]] = []
            work(iter([(cells, folder)]), told.append)
            axes = {cell.fingerprint: dict(cell.axes) for cell in cells}
            for row in told:
                if n == self.stop_after:
                    raise KeyboardInterrupt
                n += 1
                self.axes.append(axes[row["cell"]])
                yield row
