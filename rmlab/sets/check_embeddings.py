"""The vectors of a policy by one embedder, and their scales. Vectors are read some rows at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from rmlab.artifacts.set_record import SetEmbedder, embeddings_file, responses_file, scales_file
from rmlab.artifacts.set_tables import SET_SCALES, set_embeddings
from rmlab.data.int8 import LARGEST
from rmlab.sets.check_prompts import repeats
from rmlab.sets.checklist import Check
from rmlab.sets.read_tables import read_set_table, stream_set_table
from rmlab.stages.vectors import matrix


def check_embeddings(
    folder: Path, policy: str, embedder: SetEmbedder, responses: pa.Table, rows: int, check: Check
) -> None:
    """InputError where the file cannot be read at all. rows: how many set.json says there are."""
    file = embeddings_file(policy, embedder.name)
    ids: list[str] = []
    zero, outside = [], []
    for batch in stream_set_table(folder, file, set_embeddings(embedder.dimension), rows):
        q = matrix(batch["embedding"])
        ids += batch["response_id"].to_pylist()
        zero.append(~q.any(axis=1))
        outside.append((q < -LARGEST).any(axis=1))
    if not ids:
        check.fail(f"{file} has no rows")
        return
    check.rows(file, np.concatenate(zero), "its vector is all zeros")
    check.rows(file, np.concatenate(outside), f"a value is -128; values are -{LARGEST} to {LARGEST}")
    check.values(file, repeats(ids), "response_id {} repeats an earlier row", ids)
    answered, embedded = responses["response_id"].to_pylist(), set(ids)
    known = set(answered)
    unknown = np.array([i not in known for i in ids], dtype=bool)
    check.values(file, unknown, f"response {{}} is not in {responses_file(policy)}", ids)
    missing = np.array([i not in embedded for i in answered], dtype=bool)
    check.values(responses_file(policy), missing, f"response {{}} has no vector by {embedder.name}", answered)


def check_scales(folder: Path, policy: str, embedder: SetEmbedder, rows: int, check: Check) -> None:
    file = scales_file(policy, embedder.name)
    table = read_set_table(folder, file, SET_SCALES, rows)
    dimension, scale = table["dimension"].to_numpy(), table["scale"].to_numpy()
    if len(scale) != embedder.dimension:
        check.fail(f"{file} has {len(scale)} scales, but set.json says {embedder.dimension} dimensions")
    check.values(file, dimension != np.arange(len(scale)), "dimension is {}, out of order", dimension)
    check.values(file, ~(np.isfinite(scale) & (scale > 0)), "scale is {}; scales are above 0", scale)
