"""annotate: responses and a golden reward -> a score for every response, or why it has none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import pyarrow as pa

from rmlab.artifacts.schemas import SCORES
from rmlab.errors import RmlabError
from rmlab.goldens.base import Combination, Failed, Score, Scorer, TextScorer
from rmlab.stages.base import Counts, Job, Made, Shards
from rmlab.stages.combine import combined
from rmlab.stages.exchanges import Exchanges
from rmlab.stages.score_rows import score_rows
from rmlab.stages.shards import map_shards
from rmlab.text import Exchange

_AT_ONCE = 256  # responses between two looks at the progress
_ENOUGH = 8  # prompts whose responses all fail are no accident, but where failures were recorded


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
