"""embed: responses -> one vector each, from one model, layer and pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from rmlab.artifacts.schemas import embeddings_table
from rmlab.embedders.base import Embedder, OpenEmbedder
from rmlab.errors import InputError
from rmlab.stages.base import Counts, Job, map_shards
from rmlab.stages.exchanges import Part, exchange_parts


def run(job: Job) -> None:
    settings = job.settings
    embedder = job.build(settings.embedder, "embedder")
    opened = cache(lambda: _open(job, embedder))
    sample = job.inputs["sample"]
    job.progress.start(sample.manifest.rows, "responses")
    shards = (
        (rows, partial(_embed_part, job, part, opened, embedder.storage))
        for rows, part in exchange_parts(job.inputs["prompts"], sample)
    )
    map_shards(job, shards)
    if cut := job.writer.counts.get("truncated"):
        job.writer.warnings.append(f"{cut} texts were longer than the embedding model's context and were cut")
    if unused := job.writer.metrics.get("unused_embeddings"):
        job.writer.warnings.append(f"{unused} embeddings belong to no response and were left out")


@runtime_checkable
class _Imported(Protocol):
    """An opened embedder that has all its vectors already, under the ids of their responses."""

    def check(self, response_ids: Sequence[str]) -> int:
        """How many vectors none of all the responses asks for; InputError where one has no vector."""
        ...


def _open(job: Job, embedder: Embedder) -> OpenEmbedder:
    opened = embedder.open(job.settings.model, job.settings.prompts.template, job.compute)
    if isinstance(opened, _Imported):
        ids = job.inputs["sample"].read(columns=["response_id"])["response_id"].to_pylist()
        job.writer.metrics["unused_embeddings"] = opened.check(ids)
    return opened


def _embed_part(
    job: Job, part: Part, opened: Callable[[], OpenEmbedder], storage: str | None
) -> tuple[pa.Table, Counts]:
    embedder, exchanges = opened(), part()
    job.writer.metrics.update(dimension=embedder.dimension, template_hash=embedder.template_hash)
    done = embedder.embed(exchanges, job.progress.advance)
    storage = storage or done.vectors.dtype.name
    table = embeddings_table(embedder.dimension, storage)
    columns = {
        "prompt_id": [e.prompt_id for e in exchanges],
        "response_id": [e.response_id for e in exchanges],
        "n_tokens": done.n_tokens,
        "truncated": done.truncated,
        "embedding": _column(_stored(done.vectors, storage), table.schema.field("embedding").type),
    }
    counts: Counts = {
        "responses": len(exchanges),
        "response_tokens": int(done.n_tokens.clip(min=0).sum()),
        "truncated": int(done.truncated.sum()),
        "empty_responses": int((done.n_tokens == 0).sum()),
    }
    return pa.table(columns, schema=table.schema), counts


def _stored(vectors: np.ndarray, storage: str) -> np.ndarray:
    """The vectors as stored; float16 only where every value fits."""
    if not np.isfinite(vectors).all():
        raise InputError("the embedding model gave NaN or infinity; use dtype=float32")
    if vectors.dtype == storage:
        return vectors
    largest = float(np.abs(vectors).max(initial=0))
    if storage == "float16" and largest > np.finfo(np.float16).max:
        raise InputError(f"an embedding of {largest:.3g} does not fit float16; use embedder.storage=float32")
    return vectors.astype(storage)


def _column(vectors: np.ndarray, kind: pa.DataType) -> pa.FixedSizeListArray:
    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1), type=kind.value_type)
    return pa.FixedSizeListArray.from_arrays(flat, type=kind)
