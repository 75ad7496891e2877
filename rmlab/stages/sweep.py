"""sweep: many cells, each a head fitted and judged; the embeddings are mapped into memory once for all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from rmlab.artifacts.files import plain
from rmlab.artifacts.schemas import sweep_table
from rmlab.cells import Cell
from rmlab.errors import RmlabError
from rmlab.stages.base import Job
from rmlab.stages.cell import run_cell
from rmlab.stages.cell_data import write_data
from rmlab.stages.control_rows import control_rows
from rmlab.stages.live_cells import LiveCells

ROWS = "rows.jsonl"


def run(job: Job) -> None:
    """A row a cell, appended as it is done, so that an interrupted sweep goes on where it was."""
    grid = job.sweep_grid
    log = RowLog(job.writer.work / ROWS)
    rows = {row["cell"]: row for row in grid.known} | log.read()
    left = [cell for cell in grid.cells if cell.fingerprint not in rows]
    job.progress.start(len(grid.cells), "cells")
    job.progress.skip(len(grid.cells) - len(left))
    work = job.writer.work
    wanted = dict.fromkeys(cell.data for cell in left)
    folders = {data: write_data(job.inputs, data, work / f"data-{data}") for data in wanted}
    live = LiveCells(job.progress, {cell.fingerprint: cell.axes for cell in grid.cells})
    for row in _done(grid.workers, left, folders):
        log.append(row)
        rows[row["cell"]] = row
        live.tell(row)
    controls = [row for data in grid.data for row in control_rows(job, data)]
    _write(job, [{**rows[cell.fingerprint], **cell.axes} for cell in grid.cells], controls)


def _done(workers: int, cells: list[Cell], folders: dict[str, Path]) -> Iterator[dict[str, Any]]:
    """Rows in the order in which they are done."""
    if not cells:
        return
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    tasks = (delayed(run_cell)(cell, folders[cell.data]) for cell in cells)
    try:
        with parallel_config(backend="loky", n_jobs=workers, inner_max_num_threads=1):
            yield from Parallel(return_as="generator_unordered", batch_size=1)(tasks)
    except TerminatedWorkerError:
        raise RmlabError(
            "a worker process was killed, most likely for want of memory; what is done is kept: "
            "run the same command with fewer --workers"
        ) from None


class RowLog:
    """One JSON object a line; a line cut off by a crash is not there."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self) -> dict[str, dict[str, Any]]:
        if not self.file.is_file():
            return {}
        lines = self.file.read_text(encoding="utf-8").split("\n")
        if lines[-1]:  # cut off: what is appended next must not stand on the same line
            self.file.write_text("\n".join([*lines[:-1], ""]), encoding="utf-8")
        rows = [json.loads(line) for line in lines[:-1]]
        return {row["cell"]: row for row in rows}

    def append(self, row: dict[str, Any]) -> None:
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(plain(row), ensure_ascii=False, allow_nan=False) + "\n")


def _write(job: Job, rows: list[dict[str, Any]], controls: list[dict[str, Any]]) -> None:
    table = sweep_table(list(job.sweep_grid.cells[0].axes))
    columns = {c.name: [row.get(c.name) for row in [*rows, *controls]] for c in table.columns}
    job.writer.table(table, pa.table(columns, schema=table.schema))
    failed = [row for row in rows if row["state"] == "failed"]
    unconverged = sum(row.get("converged") is False for row in rows)
    job.writer.counts.update(cells=len(rows), failed=len(failed), not_converged=unconverged)
    if failed:
        job.writer.warnings.append(
            f"{len(failed)} of {len(rows)} cells failed; such as: {failed[0]['reason']}"
        )
    if unconverged:
        job.writer.warnings.append(f"{unconverged} of {len(rows)} cells did not converge; see column message")
