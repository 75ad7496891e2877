"""annotate: responses and a golden reward -> a score for every response."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial

import pyarrow as pa

from rmlab.artifacts.schemas import SCORES
from rmlab.errors import InputError
from rmlab.goldens.base import Scorer
from rmlab.stages.base import Counts, Job, map_shards
from rmlab.stages.exchanges import Part, exchange_parts

_AT_ONCE = 256  # responses between two looks at the progress


def run(job: Job) -> None:
    golden = job.build(job.settings.golden[job.name], f"golden.{job.name}")
    opened = cache(lambda: golden.open(job.compute))
    sample = job.inputs["sample"]
    job.progress.start(sample.manifest.rows, "responses")
    shards = (
        (rows, partial(_score_part, job, part, opened))
        for rows, part in exchange_parts(job.inputs["prompts"], sample)
    )
    map_shards(job, shards)


def _score_part(job: Job, part: Part, opened: Callable[[], Scorer]) -> tuple[pa.Table, Counts]:
    scorer, exchanges = opened(), part()
    scores: list[float] = []
    for start in range(0, len(exchanges), _AT_ONCE):
        chunk = exchanges[start : start + _AT_ONCE]
        found = [float(s) for s in scorer(chunk)]
        if len(found) != len(chunk):
            raise InputError(f"golden reward {job.name} gave {len(found)} scores for {len(chunk)} responses")
        for exchange, score in zip(chunk, found, strict=True):
            if not math.isfinite(score):
                raise InputError(f"golden reward {job.name} gave {score} for response {exchange.response_id}")
        scores += found
        job.progress.advance(len(chunk))
    columns = {
        "prompt_id": [e.prompt_id for e in exchanges],
        "response_id": [e.response_id for e in exchanges],
        "reward": [job.name] * len(exchanges),
        "score": scores,
    }
    return pa.table(columns, schema=SCORES.schema), {"responses": len(scores)}
