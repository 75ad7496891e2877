"""A few numbers a test prompt of each cell of a sweep, small enough to travel with the cell's row."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmlab.artifacts.sweep_schema import AT_NS, PROMPT_METRICS, cell_prompts_table
from rmlab.stages.measuring import Measured

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
    """What `packed` gave of the wanted cells of such a table."""
    kept = table.filter(pc.is_in(table["cell"], wanted)).sort_by(
        [("cell", "ascending"), ("prompt_id", "ascending")]
    )
    if not kept.num_rows:
        return {}
    values = np.stack([kept[metric].to_numpy() for metric in PROMPT_METRICS])
    cells, starts = np.unique(np.asarray(kept["cell"].to_pylist()), return_index=True)
    parts = np.split(values, starts[1:], axis=1)
    return {str(cell): _text(part) for cell, part in zip(cells, parts, strict=True)}
