"""annotate, for a golden reward made of others: their saved scores -> its own, without scoring anything."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmlab.artifacts.schemas import SCORES
from rmlab.goldens.base import Combination
from rmlab.stages.base import Job, Made, Shards
from rmlab.stages.responses import positions


def combined(jobs: Sequence[Job]) -> Shards[pa.Table]:
    """The parts are those of the responses; what the parts of the reward said is read once for all."""
    [job] = jobs
    golden: Combination = job.build(job.settings.golden[job.name], f"golden.{job.name}")
    table, facts = _whole(job, golden)
    rows = job.inputs["sample"].part_rows
    starts = [0, *accumulate(rows)]

    def compute(part: pa.Table, _: Sequence[int]) -> list[Made]:
        job.progress.advance(part.num_rows)
        failed = part["failure"].drop_null()
        example = {"failure_example": failed[0].as_py()} if len(failed) else {}
        counts = {"responses": part.num_rows, "failed_rows": len(failed)}
        return [Made(part, counts, {"parts": facts, **example})]

    return Shards(rows, lambda k: table.slice(starts[k], rows[k]), compute)


def _whole(job: Job, golden: Combination) -> tuple[pa.Table, dict]:
    """Scores of all responses in the order of the sample, and what the combination has to say of itself."""
    sample = job.inputs["sample"].read(columns=["prompt_id", "response_id", "split"])
    scores: dict[str, np.ndarray] = {}
    failure = pa.chunked_array([pa.nulls(sample.num_rows, pa.string())])
    for name, annotate in job.several("part").items():
        found = annotate.read(columns=["response_id", "score", "failure"])
        missing = f"{annotate.path}: no score for"
        rows = pa.array(positions(sample["response_id"], found["response_id"], missing))
        scores[name] = found["score"].take(rows).to_numpy()
        why = pc.binary_join_element_wise(name, found["failure"].take(rows), ": ")
        failure = pc.coalesce(failure, why)
    values, facts = golden.combine(scores, pc.equal(sample["split"], "train").to_numpy())
    lost = pa.array(~np.isfinite(values))
    columns = {
        "prompt_id": sample["prompt_id"],
        "response_id": sample["response_id"],
        "reward": pa.repeat(job.name, sample.num_rows),
        "score": pa.array(np.where(np.isfinite(values), values, np.nan), from_pandas=False),
        "failure": pc.if_else(lost, pc.coalesce(failure, pa.scalar("the sum is not finite")), None),
    }
    return pa.table(columns, schema=SCORES.schema).combine_chunks(), facts
