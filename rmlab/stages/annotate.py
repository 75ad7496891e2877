"""The stage annotate scores every response by a golden reward, or records why that failed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmlab.errors import InputError, RmlabError
from rmlab.goldens.base import Combination, Failed, Score, Scorer, TextScorer
from rmlab.logs import log
from rmlab.models.text.rendering import Exchange
from rmlab.pipeline.foresee import foresee_component
from rmlab.pipeline.job import Counts, Job, Made, Shards
from rmlab.pipeline.node import Node
from rmlab.pipeline.problems import Problems
from rmlab.pipeline.shards import map_shards
from rmlab.responses.table import positions
from rmlab.responses.texts import Exchanges
from rmlab.storage.schemas import SCORES

_LARGEST = 1e100  # largest absolute score; sums of squares of such scores are still finite
_LONGEST = 200  # characters of a reason
_AT_ONCE = 256  # responses between two updates of the progress
_ENOUGH = 8  # prompts: if all responses to so many fail, the run stops, unless failures are recorded ones


def run(job: Job) -> None:
    job.progress.start(job.inputs["sample"].manifest.rows, "responses")
    golden = job.build(job.settings.golden[job.name], f"golden.{job.name}")
    map_shards([job], combined if isinstance(golden, Combination) else shards)
    n, failed = job.writer.counts["responses"], job.writer.counts["failed_rows"]
    if cut := job.writer.counts.get("truncated"):
        job.writer.warnings.append(f"{cut} texts were too long for golden reward {job.name} and were cut")
    if not failed:
        return
    example = job.writer.metrics["failure_example"]
    if failed == n:
        raise RmlabError(
            f"golden reward {job.name} failed on all {n} responses ({example}); "
            f"mend it, remove {job.writer.path} and run this again"
        )
    job.writer.warnings.append(
        f"golden reward {job.name} failed on {failed} of {n} responses, which heads are neither fitted nor "
        f"judged on; column failure says why, such as: {example}"
    )


def foresee(node: Node, problems: Problems) -> None:
    """Checks what the golden reward needs."""
    golden = node.settings.golden[node.name]
    foresee_component(golden, f"golden.{node.name}", node.settings, problems)


def shards(jobs: Sequence[Job]) -> Shards[list[Exchange]]:
    [job] = jobs
    golden = job.build(job.settings.golden[job.name], f"golden.{job.name}")
    opened = cache(lambda: golden.open(job.compute))
    exchanges = Exchanges(job.inputs["prompts"], job.inputs["sample"])
    enough = math.inf if getattr(golden, "recorded", False) else _ENOUGH
    return Shards(exchanges.rows, exchanges.read, lambda part, _: [_score_part(job, part, opened(), enough)])


def _score_part(job: Job, exchanges: list[Exchange], scorer: Scorer, enough: float) -> Made:
    scores: list[Score] = []
    for start in range(0, len(exchanges), _AT_ONCE):
        chunk = exchanges[start : start + _AT_ONCE]
        scores += score_rows(scorer, chunk, job.name)
        job.progress.advance(len(chunk))
    reasons = [s.reason if isinstance(s, Failed) else None for s in scores]
    failed = [reason for reason in reasons if reason is not None]
    if len(failed) == len(scores) and len({e.prompt_id for e in exchanges}) >= enough:
        raise RmlabError(
            f"golden reward {job.name} failed on {len(failed)} responses, all of a shard ({failed[0]}); "
            "mend it and run this again: other shards are kept"
        )
    columns = {
        "prompt_id": [e.prompt_id for e in exchanges],
        "response_id": [e.response_id for e in exchanges],
        "reward": [job.name] * len(exchanges),
        "score": [float("nan") if isinstance(s, Failed) else s for s in scores],
        "failure": reasons,
    }
    counts: Counts = {"responses": len(scores), "failed_rows": len(failed)}
    metrics = {"failure_example": failed[0]} if failed else {}
    if isinstance(scorer, TextScorer):
        counts |= scorer.counts
        scorer.counts.clear()
        metrics["template_hash"] = scorer.template_hash
    return Made(pa.table(columns, schema=SCORES.schema), counts, metrics)


def score_rows(scorer: Scorer, exchanges: Sequence[Exchange], name: str) -> list[Score]:
    """Finite scores, or reasons why there is none. If the scorer raises, each row is scored by itself."""
    try:
        return _scores(scorer, exchanges, name)
    except Exception as error:
        if not _is_of_a_row(error):
            raise
        log.trouble(error, reward=name)
    return [_score_alone(scorer, exchange, name) for exchange in exchanges]


def _score_alone(scorer: Scorer, exchange: Exchange, name: str) -> Score:
    try:
        return _scores(scorer, [exchange], name)[0]
    except Exception as error:
        if not _is_of_a_row(error):
            raise
        return Failed(_line(f"{type(error).__name__}: {error}"))


def _is_of_a_row(error: Exception) -> bool:
    """True if an error may be due to one row, and not to settings or to the machine."""
    of_all = ("OutOfMemoryError", "AcceleratorError")  # torch's, which need not be installed here
    return not isinstance(error, RmlabError | MemoryError) and type(error).__name__ not in of_all


def _scores(scorer: Scorer, exchanges: Sequence[Exchange], name: str) -> list[Score]:
    found = [_checked(value) for value in scorer(exchanges)]
    if len(found) != len(exchanges):
        raise InputError(f"golden reward {name} gave {len(found)} scores for {len(exchanges)} responses")
    return found


def _checked(value: Any) -> Score:
    if isinstance(value, Failed):
        return Failed(_line(value.reason))
    try:
        number = float(value)
    except (TypeError, ValueError):
        return Failed(_line(f"the reward is {value!r}, not a number"))
    return number if abs(number) <= _LARGEST else Failed(f"the reward is {number}")  # also for NaN


def _line(text: str) -> str:
    """The first line that is not blank, shortened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[0] if lines else "no reason given")[:_LONGEST]


def combined(jobs: Sequence[Job]) -> Shards[pa.Table]:
    """Scores of a reward that combines others, in the parts of the responses; those are read once for all."""
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
    """The combined scores of all responses, in the order of the sample, and facts on the combination."""
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
