"""The stage embed turns every response into a vector, by one model, layer and pooling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from rmlab.config.components import component_class
from rmlab.config.settings import Settings
from rmlab.embedders.base import Embedded, ManyViews, OpenEmbedder
from rmlab.errors import InputError
from rmlab.models.text.rendering import Exchange
from rmlab.pipeline.foresee import foresee_component
from rmlab.pipeline.job import Counts, Job, Made, Shards
from rmlab.pipeline.node import Node
from rmlab.pipeline.problems import Problems
from rmlab.pipeline.shards import map_shards
from rmlab.responses.texts import Exchanges
from rmlab.storage.digest import digest
from rmlab.storage.schemas import embeddings_table


def run(job: Job) -> None:
    run_pass([job])


def pass_key(settings: Settings, config: Mapping[str, Any]) -> str:
    """A key that is equal for jobs which, given equal inputs, one pass over the texts can serve together."""
    cls = component_class(settings.embedder, settings.allow_modules, "embedder")
    views = {f.name for f in fields(cls) if f.metadata.get("view")}
    shared = {k: v for k, v in config["embedder"].items() if k not in views}
    return digest({**config, "embedder": shared})


def run_pass(jobs: Sequence[Job]) -> None:
    """Runs jobs of one pass_key: the model is loaded once, and reads each text once for all of them."""
    jobs[0].progress.start(jobs[0].inputs["sample"].manifest.rows, "responses")
    map_shards(jobs, shards)
    for job in jobs:
        _warn(job)


def foresee(node: Node, problems: Problems) -> None:
    """Checks what the embedder needs."""
    foresee_component(node.settings.embedder, "embedder", node.settings, problems)


def shards(jobs: Sequence[Job]) -> Shards[list[Exchange]]:
    exchanges = Exchanges(jobs[0].inputs["prompts"], jobs[0].inputs["sample"])
    return Shards(exchanges.rows, exchanges.read, _Pass(jobs).compute)


class _Pass:
    """The embedder of several jobs, opened when the first missing part is computed."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = jobs
        self.views = [job.build(job.settings.embedder, "embedder") for job in jobs]
        self.opened = cache(self._open)

    def _open(self) -> OpenEmbedder:
        first = self.jobs[0]
        opened = self.views[0].open(first.settings.model, first.settings.prompts.template, first.compute)
        if isinstance(opened, _Imported):
            ids = first.inputs["sample"].read(columns=["response_id"])["response_id"].to_pylist()
            unused = opened.check(ids)
            for job in self.jobs:
                job.writer.metrics["unused_embeddings"] = unused
        return opened

    def compute(self, exchanges: Sequence[Exchange], wanted: Sequence[int]) -> list[Made]:
        """One part for each of the wanted jobs, given by index."""
        opened, tick = self.opened(), self.jobs[0].progress.advance
        views = [self.views[k] for k in wanted]
        if isinstance(opened, ManyViews):
            found = opened.embed_views(exchanges, views, tick)
        else:
            found = [opened.embed(exchanges, tick)]
        hash_ = opened.template_hash
        return [_made(done, view.storage, hash_, exchanges) for done, view in zip(found, views, strict=True)]


@runtime_checkable
class _Imported(Protocol):
    """An opened embedder whose vectors exist already, by response id."""

    def check(self, response_ids: Sequence[str]) -> int:
        """The number of vectors without a response; raises an InputError if a response has no vector."""
        ...


def _made(done: Embedded, storage: str | None, template_hash: str, exchanges: Sequence[Exchange]) -> Made:
    storage = storage or done.vectors.dtype.name
    ids = [e.response_id for e in exchanges]
    table = embeddings_table(done.vectors.shape[1], storage)
    columns = {
        "prompt_id": [e.prompt_id for e in exchanges],
        "response_id": ids,
        "n_tokens": done.n_tokens,
        "truncated": done.truncated,
        "embedding": _column(_stored(done.vectors, storage, ids), table.schema.field("embedding").type),
    }
    counts: Counts = {
        "responses": len(exchanges),
        "response_tokens": int(done.n_tokens.clip(min=0).sum()),
        "truncated": int(done.truncated.sum()),
        "empty_responses": int((done.n_tokens == 0).sum()),
    }
    metrics = {"dimension": done.vectors.shape[1], "template_hash": template_hash}
    return Made(pa.table(columns, schema=table.schema), counts, metrics)


def _stored(vectors: np.ndarray, storage: str, ids: Sequence[str]) -> np.ndarray:
    """The vectors in the type they are stored in; raises an InputError for values that do not fit it."""
    odd = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(odd):
        raise InputError(
            f"the embedding model gave NaN or infinity for {len(odd)} of {len(ids)} responses, the first "
            f"{ids[odd[0]]}; use dtype=float32 or, if it is that already, another layer or model"
        )
    if vectors.dtype == storage:
        return vectors
    largest = np.abs(vectors).max(axis=1, initial=0)
    if storage == "float16" and (largest > np.finfo(np.float16).max).any():
        worst = int(largest.argmax())
        raise InputError(
            f"an embedding of {largest[worst]:.3g} (response {ids[worst]}) does not fit float16; "
            "use embedder.storage=float32"
        )
    return vectors.astype(storage)


def _column(vectors: np.ndarray, kind: pa.DataType) -> pa.FixedSizeListArray:
    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1), type=kind.value_type)
    return pa.FixedSizeListArray.from_arrays(flat, type=kind)


def _warn(job: Job) -> None:
    if cut := job.writer.counts.get("truncated"):
        job.writer.warnings.append(f"{cut} texts were longer than the embedding model's context and were cut")
    if unused := job.writer.metrics.get("unused_embeddings"):
        job.writer.warnings.append(f"{unused} embeddings belong to no response and were left out")
