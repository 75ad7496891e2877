"""Cells that read the same data, together: fitted one after the other, scored in one pass over embeddings.

The row of a cell is the same to the last bit whichever cells are beside it. A cell that fails is a row with
its reason, and takes no other with it.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rmlab.errors import RmlabError
from rmlab.evaluation.fit import SharedFits
from rmlab.logs import log
from rmlab.pipeline.node import Cell
from rmlab.storage.digest import digest
from rmlab.storage.files import plain
from rmlab.storage.table_schema import Row
from rmlab.sweeps.cell import FittedCell, ScoredCell, fit_cell, judge_cell, score_cells
from rmlab.sweeps.data import read_data

MOST = 8  # cells that are scored together; a kill between fitting and judging loses their fits
SHARES = 8  # groups of cells that each worker gets at least, so that all end at about the same time
HELD_BYTES = 2**29  # of fitted cells and their scores that wait in memory to be scored together


def groups_of(cells: Sequence[Cell], workers: int) -> list[tuple[Cell, ...]]:
    """The cells in groups to be scored together: of the same data and the same validation prompts, those that
    compare the same responses beside each other."""
    alike: dict[str, dict[str, list[Cell]]] = {}
    for cell in cells:
        s = cell.settings
        scored = digest([cell.data, s.validation.model_dump()])
        compared = digest([s.comparisons.model_dump(), s.pairing, s.seed, s.teacher.model_dump()])
        alike.setdefault(scored, {}).setdefault(compared, []).append(cell)
    size = MOST if workers == 1 else max(1, min(MOST, len(cells) // (SHARES * workers)))
    return [group for same in alike.values() for group in _cut(list(same.values()), size)]


def _cut(several: Sequence[Sequence[Cell]], size: int) -> Iterator[tuple[Cell, ...]]:
    """Groups of at most `size` cells; those that compare the same responses are divided if they are more."""
    group: list[Cell] = []
    for cells in several:
        if group and len(group) + len(cells) > size:
            yield tuple(group)
            group = []
        for cell in cells:
            group.append(cell)
            if len(group) == size:
                yield tuple(group)
                group = []
    if group:
        yield tuple(group)


def run_cell(cell: Cell, folder: Path) -> Row:
    """The row of a cell alone, as JSON has it."""
    return next(run_cells([cell], folder))


def run_cells(cells: Sequence[Cell], folder: Path) -> Iterator[Row]:
    """The rows of a group, each as soon as it is known, as JSON has them. folder: of the data of all of them.

    What waits to be scored takes HELD_BYTES and one cell at most.
    """
    waiting: list[_Run] = []
    shared = SharedFits()
    for cell in cells:
        run = _Run(cell)
        with run.trying():
            data = read_data(folder)
            run.fitted = fit_cell(cell, data, shared)
            run.held_bytes = bytes_of(run.fitted.fit) + 2 * 8 * len(data.responses)
        if run.fitted is None:
            yield run.row()
            continue
        waiting.append(run)
        if sum(one.held_bytes for one in waiting) >= HELD_BYTES:
            yield from _judged(waiting, folder)
            waiting = []
    shared.forget()
    yield from _judged(waiting, folder)


@dataclass
class _Run:
    """A cell under way. seconds: what it took alone, and its share of what was done for several."""

    cell: Cell
    seconds: float = 0.0
    fitted: FittedCell | None = None
    columns: Row | None = None
    reason: str = ""
    held_bytes: int = 0

    @contextmanager
    def trying(self) -> Iterator[None]:
        """Counts the time; an error is the reason why the cell failed."""
        started = time.perf_counter()
        try:
            yield
        except RmlabError as error:
            self.reason = " ".join(str(error).split())
        except Exception as error:  # a cell's bug must not end the sweep
            log.trouble(error, cell=self.cell.fingerprint)
            self.reason = _unexpected(error)
        finally:
            self.seconds += time.perf_counter() - started

    def row(self) -> Row:
        found: dict[str, Any] = {"state": "failed", "reason": self.reason}
        if self.fitted is not None and self.columns is not None:
            found = {"state": "ok", "reason": None, **self.fitted.columns, **self.columns}
        return plain({"cell": self.cell.fingerprint, "kind": "head", **found, "seconds": self.seconds})


def _judged(runs: Sequence[_Run], folder: Path) -> Iterator[Row]:
    """Scores the fitted cells, then judges one after the other."""
    data = read_data(folder)
    for run, scored in _scored(runs, folder):
        if scored is not None:
            with run.trying():
                run.columns = judge_cell(scored, data)
        yield run.row()


def _scored(runs: Sequence[_Run], folder: Path) -> Iterator[tuple[_Run, ScoredCell | None]]:
    """Scores all in one pass; where that fails each alone, which says which of them has failed."""
    if len(runs) > 1:
        started = time.perf_counter()
        try:
            found = score_cells([run.fitted for run in runs if run.fitted], read_data(folder))
        except Exception as error:  # each is scored alone, which says which of them it is of
            log.trouble(error, cells=len(runs))
            found = []
        for run in runs:
            run.seconds += (time.perf_counter() - started) / len(runs)
        if found:
            yield from zip(runs, found, strict=True)
            return
    for run in runs:
        alone: ScoredCell | None = None
        with run.trying():
            [alone] = score_cells([run.fitted] if run.fitted else [], read_data(folder))
        yield run, alone


def bytes_of(value: object) -> int:
    """Bytes of the arrays and texts within dataclasses, sequences and mappings."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, str):
        return len(value)
    if is_dataclass(value):
        return sum(bytes_of(getattr(value, one.name)) for one in fields(value))
    if isinstance(value, Mapping):
        return sum(map(bytes_of, value.values()))
    return sum(map(bytes_of, value)) if isinstance(value, tuple | list) else 0


def _unexpected(error: Exception) -> str:
    """The error and the line of code that it comes from."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    what = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
    return f"{what} ({Path(last.filename).name}:{last.lineno})"
