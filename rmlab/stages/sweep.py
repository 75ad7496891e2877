"""sweep: many cells, each a head fitted and judged; the embeddings are mapped into memory once for all, and
read to be scored once for each group of cells."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import pyarrow as pa

from rmlab.errors import USAGE, RmlabError
from rmlab.evaluation.feasible import foresee_fit
from rmlab.pipeline.foresee import foresee_heads
from rmlab.pipeline.job import Job
from rmlab.pipeline.node import Cell, Grid, Node
from rmlab.pipeline.problems import Problems
from rmlab.pipeline.workers import Tell, in_workers
from rmlab.storage.files import plain
from rmlab.storage.sweep_schema import cell_prompts_table, sweep_table
from rmlab.storage.table_schema import Row
from rmlab.sweeps.axes import axis_values
from rmlab.sweeps.data import forget_data, write_data
from rmlab.sweeps.rows import LiveCells, RowLog, control_rows, prompt_rows
from rmlab.sweeps.together import groups_of, run_cells

_AHEAD = 1  # groups of cells that a worker has before it while it is at one
ONE_THREAD = {  # the environment of a worker
    **dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
    ),
    # glibc keeps the memory of one cell for the next instead of giving it back and faulting it in again.
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**29),
    "MALLOC_TOP_PAD_": str(2**26),
}


def run(job: Job) -> None:
    """A row a cell, appended as it is done, so that an interrupted sweep goes on where it was."""
    grid = job.sweep_grid
    work, log = job.writer.work, RowLog.of(job.writer.path)
    forget_data(work)
    log.mend()
    rows = log.done()
    taken_over = {cell: row for cell, row in _taken_over(job).items() if cell not in rows}
    log.append(taken_over.values())
    rows |= taken_over
    left = _by_data(grid, [cell for cell in grid.cells if cell.fingerprint not in rows])
    job.progress.say(f"{len(left):,} of {len(grid.cells):,} cells to do")
    folders = {data: write_data(job.inputs, data, work) for data in dict.fromkeys(c.data for c in left)}
    job.progress.start(len(grid.cells), "cells")
    job.progress.skip(len(grid.cells) - len(left))
    live = LiveCells(job.progress, {cell.fingerprint: cell.axes for cell in grid.cells}, rows.values())
    groups = groups_of(left, grid.workers)
    tasks = ((group, folders[group[0].data]) for group in groups)
    if left:
        workers = [ONE_THREAD] * min(grid.workers, len(groups))
        with closing(in_workers(_run_groups, tasks, workers, "--workers", _AHEAD)) as done:
            for row in done:
                log.append([row])
                rows[row["cell"]] = row
                live.tell(row)
    _write(job, rows)


def foresee(node: Node, problems: Problems) -> None:
    """Checks what the heads of the cells need, and whether each cell can be fitted.

    A cell that cannot be fitted is a row with its reason, and so no problem of the sweep, unless all are. A
    package or a file that is missing is one, whichever cell needs it.
    """
    cells = node.sweep_grid.left
    reasons: dict[str, tuple[RmlabError, int]] = {}
    n_failing = 0
    for cell in cells:
        with problems.aside() as errors:
            problems.once("heads", _heads(cell), partial(foresee_heads, cell.settings, problems))
            foresee_fit(cell.settings, node.inputs[f"sample:{cell.data}"], problems)
        wrong = [error for error in errors if error.exit_code == USAGE]
        for error in errors:
            if error not in wrong:
                problems.add(error)
        n_failing += bool(wrong)
        for error in wrong[:1]:
            reasons[str(error)] = error, reasons.get(str(error), (error, 0))[1] + 1
    for error, n in reasons.values():
        if n_failing == len(node.sweep_grid.cells):
            problems.add(error)
        else:
            problems.notes.append(f"{n:,} of {len(cells):,} cells will fail: {error}")


def _heads(cell: Cell) -> Row:
    """The settings of the heads that a cell fits."""
    return cell.settings.model_dump(include={"head", "teacher"})


def _taken_over(job: Job) -> dict[str, Row]:
    """Rows that earlier sweeps have of these cells, if they read what is there now."""
    now = {role: artifact.manifest.content for role, artifact in job.inputs.items()}
    data = {cell.fingerprint: cell.data for cell in job.sweep_grid.cells}
    rows = {known.row["cell"]: known for known in job.sweep_grid.known}
    return {cell: dict(known.row) for cell, known in rows.items() if known.is_of(data[cell], now)}


def _run_groups(tasks: Iterator[tuple[Sequence[Cell], Path]], tell: Tell[Row]) -> None:
    """In a worker: its share of the groups of cells."""
    for cells, folder in tasks:
        for row in run_cells(cells, folder):
            tell(row)


def _by_data(grid: Grid, cells: list[Cell]) -> list[Cell]:
    """Cells of the same data one after the other: a worker keeps little more than what it reads now."""
    order = {data: place for place, data in enumerate(grid.data)}
    return sorted(cells, key=lambda cell: order[cell.data])


def _write(job: Job, done: dict[str, Row]) -> None:
    grid = job.sweep_grid
    rows = [_complete(grid, cell, done[cell.fingerprint]) for cell in grid.cells]
    by_data = {data: control_rows(job, data) for data in grid.data}
    controls = [row for found, _ in by_data.values() for row in found]
    axes = axis_values(grid)
    table = sweep_table({axis: values.type for axis, values in axes.items()})
    columns = {c.name: [row.get(c.name) for row in [*rows, *controls]] for c in table.columns}
    columns |= {axis: [values.of.get(str(text)) for text in columns[axis]] for axis, values in axes.items()}
    job.writer.table(table, pa.table(columns, schema=table.schema))
    fitted = [(row, c.data) for row, c in zip(rows, grid.cells, strict=True) if row["state"] == "ok"]
    fitted += [(row, data) for data, (found, _) in by_data.items() for row in found]
    prompts = [by_data[data][1] for _, data in fitted]
    job.writer.table(cell_prompts_table(), prompt_rows([row for row, _ in fitted], prompts))
    failed = [row for row in rows if row["state"] == "failed"]
    unconverged = sum(row.get("converged") is False for row in rows)
    job.writer.counts.update(cells=len(rows), failed=len(failed), not_converged=unconverged)
    if failed:
        job.writer.warnings.append(
            f"{len(failed)} of {len(rows)} cells failed; such as: {failed[0]['reason']}"
        )
    if unconverged:
        job.writer.warnings.append(f"{unconverged} of {len(rows)} cells did not converge; see column message")


def _complete(grid: Grid, cell: Cell, row: Row) -> Row:
    """With the cell's own axes and settings, as a row of another sweep has those of that one."""
    settings = json.dumps(plain(cell.settings.model_dump()), ensure_ascii=False)
    return {**row, "settings": settings, **dict.fromkeys(grid.axes), **cell.axes}
