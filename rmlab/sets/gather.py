"""Turns the finished artifacts of one policy into the tables of an embedding set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmlab.data.scales import dequantise, quantise, scales
from rmlab.errors import InputError
from rmlab.responses.table import positions
from rmlab.responses.vectors import matrix
from rmlab.storage.artifact import Artifact
from rmlab.storage.set_schema import SET_RESPONSES, SET_SCALES, SET_SCORES, set_embeddings


@dataclass(frozen=True)
class PolicySource:
    """The artifacts of a policy by role: prompts, sft (if any), sample, annotate:REWARD, embed:EMBEDDER."""

    name: str
    artifacts: Mapping[str, Artifact]

    def several(self, stage: str) -> dict[str, Artifact]:
        prefix = stage + ":"
        return {r.removeprefix(prefix): a for r, a in self.artifacts.items() if r.startswith(prefix)}

    @cached_property
    def scored(self) -> tuple[pa.Table, pa.Table, int]:
        """The responses, their scores, and how many were left out because a reward failed on them."""
        sample = self.artifacts["sample"]
        table = sample.read(columns=SET_RESPONSES.schema.names).cast(SET_RESPONSES.schema)
        found = {name: _scores(table, annotate) for name, annotate in self.several("annotate").items()}
        whole = np.isfinite(np.column_stack(list(found.values()))).all(axis=1)
        if not whole.any():
            raise InputError(f"{sample.path}: the golden rewards failed on every response")
        kept = table.filter(pa.array(whole))
        scores = pa.concat_tables(_score_rows(kept, name, found[name][whole]) for name in found)
        return kept, scores, int((~whole).sum())

    @property
    def prompts(self) -> pa.Table:
        """The prompts that have responses; without the column of groups, each is its own group."""
        table = self.artifacts["prompts"].read()
        if "group" not in table.column_names:
            table = table.append_column("group", table["prompt_id"])
        return table.filter(pc.is_in(table["prompt_id"], pc.unique(self.scored[0]["prompt_id"])))


def _scores(responses: pa.Table, annotate: Artifact) -> np.ndarray:
    scores = annotate.read(columns=["response_id", "score"])
    rows = positions(responses["response_id"], scores["response_id"], f"{annotate.path}: no score for")
    return scores["score"].to_numpy()[rows]


def _score_rows(responses: pa.Table, reward: str, scores: np.ndarray) -> pa.Table:
    names = pa.array([reward], pa.string()).take(pa.array(np.zeros(len(scores), dtype=np.int64)))
    return pa.table([responses["response_id"], names, scores], schema=SET_SCORES.schema)


def quantised(responses: pa.Table, embed: Artifact) -> Quantised:
    """The vectors of these responses in 8 bits, in their order; only 8-bit vectors are held in memory."""
    ids = responses["response_id"].combine_chunks()
    known = embed.read(columns=["response_id"])["response_id"]
    positions(ids, known, f"{embed.path}: no embedding for")
    scale = scales(_largest(embed, ids))
    q = np.zeros((len(ids), len(scale)), dtype=np.int8)
    lost = 0.0
    total, squares = np.zeros(len(scale)), np.zeros(len(scale))
    for rows, x in _blocks(embed, ids):
        q[rows] = quantise(x, scale)
        lost += float(np.square(x - dequantise(q[rows], scale), dtype=np.float64).sum())
        total += x.sum(axis=0, dtype=np.float64)
        squares += np.square(x, dtype=np.float64).sum(axis=0)
    spread = float((squares - total**2 / len(ids)).sum())
    table = set_embeddings(len(scale))
    vectors = pa.FixedSizeListArray.from_arrays(
        pa.array(q.reshape(-1)), type=table.schema.field("embedding").type
    )
    dimension = np.arange(len(scale), dtype=np.int32)
    return Quantised(
        pa.table([ids, vectors], schema=table.schema),
        pa.table([dimension, scale], schema=SET_SCALES.schema),
        float(np.sqrt(lost / spread)) if spread > 0 else 0.0,
    )


@dataclass(frozen=True)
class Quantised:
    """The tables of 8-bit vectors; error: root mean square error over that of the vectors' spread."""

    embeddings: pa.Table
    scales: pa.Table
    error: float


def _largest(embed: Artifact, ids: pa.Array) -> np.ndarray:
    found = [np.abs(x).max(axis=0) for _, x in _blocks(embed, ids)]
    return np.max(found, axis=0).astype(np.float32)


def _blocks(embed: Artifact, ids: pa.Array) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the places in ids and the vectors [b, d] of each part that has any of the ids."""
    for part in embed.stream(["response_id", "embedding"]):
        place = pc.index_in(part["response_id"], value_set=ids)
        kept = part.filter(pc.is_valid(place))
        if kept.num_rows:
            x = matrix(kept["embedding"].combine_chunks()).astype(np.float32, copy=False)
            yield pc.drop_null(place).to_numpy(), x
