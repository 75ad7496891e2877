"""Rows of a sweep: of its controls, of cells under way, their packed prompts, and the live display."""

from __future__ import annotations

import base64
import heapq
import json
import math
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmlab.evaluation.controls import REGRESSION, control_scores, read_surface
from rmlab.evaluation.fit import rows_of_splits
from rmlab.evaluation.judged_arms import ScoredArm, judge, judge_one
from rmlab.evaluation.measure import JudgedSplit, Measured
from rmlab.evaluation.score import regression_on_golden, score_all
from rmlab.logs.progress import Progress
from rmlab.pipeline.job import Job, note_left_out
from rmlab.pipeline.node import Grid
from rmlab.responses.table import read_responses
from rmlab.responses.vectors import StreamedVectors
from rmlab.storage.digest import sealed, unsealed
from rmlab.storage.files import plain
from rmlab.storage.manifest import WORK
from rmlab.storage.sweep_schema import AT_NS, PROMPT_METRICS, cell_prompts_table
from rmlab.storage.table_schema import Row

FIELD = "prompts"  # of a row: what `packed` gives


def packed(measured: Measured) -> str:
    """float32 [metrics, P] as text, prompts in the order of their ids: a line of the log is a whole cell."""
    return _text(np.stack([_values(measured, metric) for metric in PROMPT_METRICS]))


def _values(measured: Measured, metric: str) -> np.ndarray:
    """[P]; NaN where a prompt has fewer responses than N."""
    kind, _, n = metric.rpartition("_")
    if kind not in ("best_of", "proxy_of"):
        return measured.per_prompt[metric]
    curve = measured.golden if kind == "best_of" else measured.proxy
    wanted = measured.ns[-1] if n == "largest" else AT_NS[n]
    return curve[:, measured.ns.index(wanted)] if wanted in measured.ns else np.full(len(curve), np.nan)


def _text(values: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(np.ascontiguousarray(values, dtype="<f4").tobytes(), 1)).decode()


def unpacked(text: str) -> np.ndarray:
    """[metrics, P]"""
    values = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="<f4")
    return values.reshape(len(PROMPT_METRICS), -1)


def prompt_rows(rows: Sequence[Mapping[str, Any]], prompts: Sequence[Sequence[str]]) -> pa.Table:
    """The table of all rows that have such numbers; prompts: the ids of each row's, ascending."""
    found = [(row["cell"], ids, unpacked(row[FIELD])) for row, ids in zip(rows, prompts, strict=True)]
    cells = np.repeat(np.arange(len(found)), [len(ids) for _, ids, _ in found])
    names = pa.array([cell for cell, _, _ in found], pa.string())
    columns = {
        "cell": names.take(pa.array(cells)),
        "prompt_id": pa.array([i for _, ids, _ in found for i in ids], pa.string()),
    }
    for k, metric in enumerate(PROMPT_METRICS):
        values = np.concatenate([v[k] for _, _, v in found]) if found else np.empty(0, "f4")
        columns[metric] = pa.array(values, pa.float32(), mask=np.isnan(values))
    return pa.table(columns, schema=cell_prompts_table().schema)


def packed_by_cell(table: pa.Table, wanted: pa.Array) -> dict[str, str]:
    """The text that `packed` made of each wanted cell, from the table of a finished sweep."""
    kept = table.filter(pc.is_in(table["cell"], wanted)).sort_by(
        [("cell", "ascending"), ("prompt_id", "ascending")]
    )
    if not kept.num_rows:
        return {}
    values = np.stack([kept[metric].to_numpy() for metric in PROMPT_METRICS])
    cells, starts = np.unique(np.asarray(kept["cell"].to_pylist()), return_index=True)
    parts = np.split(values, starts[1:], axis=1)
    return {str(cell): _text(part) for cell, part in zip(cells, parts, strict=True)}


def control_rows(job: Job, data: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Random, oracle, length, copying and regression on golden scores; and the ids of the test prompts.

    Judged by the settings of the first cell that reads this data.
    """
    cell = next(c for c in job.sweep_grid.cells if c.data == data)
    sample = job.inputs[f"sample:{data}"]
    everyone = read_responses(sample, job.inputs[f"annotate:{data}"], ["train", "test"])
    note_left_out(job, everyone.n_failed, cell.settings.labelling)
    looks = read_surface(job.inputs[f"prompts:{data}"], sample, everyone)
    rows = rows_of_splits(cell.settings, everyone)
    scores = control_scores(everyone, looks, rows["train"])
    vectors = StreamedVectors(job.inputs[f"embed:{data}"], everyone.ids)
    ceiling = {REGRESSION: regression_on_golden(vectors, everyone.golden, rows["train"])}
    scores[REGRESSION] = score_all(ceiling, vectors, everyone.is_test)[REGRESSION].score
    test = JudgedSplit.of("test", everyone, rows["test"], looks.length)
    settings = json.dumps(plain(cell.settings.model_dump()), ensure_ascii=False)
    found = []
    for name, values in scores.items():
        judged = judge(test, ScoredArm(name, "control", values[rows["test"]]), cell.settings.seed)
        numbers = judge_one(judged, cell.settings.evaluation, cell.settings.seed)
        row: dict[str, Any] = {"cell": f"{name}-{data}", "kind": name, "state": "ok", "settings": settings}
        row |= {f"test_{metric}": value for metric, value in numbers.items()}
        row[FIELD] = packed(judged.measured)
        found.append(plain(row | _place(job.sweep_grid, data)))
    return found, everyone.take(rows["test"]).distinct_prompts


def _place(grid: Grid, data: str) -> dict[str, str | None]:
    """The values on the axes that tell this data set from the others of the sweep."""
    found = {}
    for axis in grid.axes:
        here, anywhere = (
            {c.axes.get(axis) for c in cells}
            for cells in ([c for c in grid.cells if c.data == data], grid.cells)
        )
        if len(here) == 1 < len(anywhere):
            found[axis] = here.pop()
    return found


@dataclass(frozen=True)
class RowLog:
    """One JSON object a line, with its digest; a line that a crash cut off or rot spoilt is not there."""

    file: Path

    @classmethod
    def of(cls, artifact: Path) -> RowLog:
        """In the working folder of an artifact, which goes when the artifact is finished."""
        return cls(artifact / WORK / "rows.jsonl")

    def done(self) -> dict[str, Row]:
        """Rows by cell, but for those that failed, which are tried again."""
        if not self.file.is_file():
            return {}
        rows = map(_read, self.file.read_bytes().split(b"\n"))
        return {row["cell"]: row for row in rows if row is not None and row["state"] == "ok"}

    def mend(self) -> None:
        """Takes away a last line that was cut off: what comes next must not stand on the same one."""
        if self.file.is_file():
            cut_off = self.file.read_bytes().rpartition(b"\n")[2]
            os.truncate(self.file, self.file.stat().st_size - len(cut_off))

    def append(self, rows: Iterable[Row]) -> None:
        lines = [_line(sealed(row)) + "\n" for row in rows]
        with self.file.open("ab") as file:
            file.write("".join(lines).encode())


def _line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False)


def _read(line: bytes) -> Row | None:
    try:
        return unsealed(line.decode(), as_written=_line)
    except ValueError:
        return None


SHOWN = 8
COLUMNS = ("validation_best_of_n", "test_best_of_n", "test_spearman", "seconds")


class LiveCells:
    """axes: those of each cell; rows: what earlier runs did, which counts among the best."""

    def __init__(
        self,
        progress: Progress,
        axes: Mapping[str, Mapping[str, str]],
        rows: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        self.progress, self.axes = progress, axes
        known = [row for row in rows if row["cell"] in axes and row["state"] == "ok"]
        self.best: list[Mapping[str, Any]] = heapq.nlargest(SHOWN, known, key=_value)
        self.failed = 0

    def tell(self, row: Mapping[str, Any]) -> None:
        self.progress.advance(1)
        if row["state"] == "failed":
            self.failed += 1
            if self.failed <= SHOWN:
                self.progress.say(f"failed: {self._name(row)}: {row['reason']}")
        else:
            self.best = heapq.nlargest(SHOWN, [*self.best, row], key=_value)
        self.progress.table(("best cells so far", *COLUMNS), [self._line(r) for r in self.best])

    def _line(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        numbers = (row[column] for column in COLUMNS)
        return (self._name(row), *("-" if x is None else f"{x:.3f}" for x in numbers))

    def _name(self, row: Mapping[str, Any]) -> str:
        return " ".join(f"{k}={v}" for k, v in self.axes[row["cell"]].items())


def _value(row: Mapping[str, Any]) -> float:
    value = row["validation_best_of_n"]
    return -math.inf if value is None or math.isnan(value) else value
