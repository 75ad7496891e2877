"""The prompts of several artifacts or sets as one table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from rmlab.artifacts.set_tables import SET_PROMPTS
from rmlab.errors import InputError

_COMPARED = ("messages", "split", "group")


def join_prompts(parts: Iterable[tuple[str, pa.Table]]) -> pa.Table:
    """parts: where a table is from, and the table -> train prompts, then test prompts, each once.

    Equal ids must mean equal prompts.
    """
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for place, table in parts:
        for row in table.select(SET_PROMPTS.schema.names).to_pylist():
            other, known = found.setdefault(row["prompt_id"], (place, row))
            for column in _COMPARED:
                if known[column] != row[column]:
                    raise InputError(
                        f"prompt {row['prompt_id']} has another {column} in {place} than in {other}; "
                        "they are different prompts: give one of them another prompt_id"
                    )
    rows = [row for _, row in found.values()]
    rows.sort(key=lambda row: row["split"] != "train")
    return pa.Table.from_pylist(rows, schema=SET_PROMPTS.schema)
