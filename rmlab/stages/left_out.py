"""Responses that the golden reward failed on are left out, and that is said."""

from __future__ import annotations

from rmlab.stages.base import Job
from rmlab.stages.responses import Responses


def note_left_out(job: Job, responses: Responses, reward: str) -> None:
    """Counts them in the manifest, with one warning."""
    n = responses.n_failed
    if not n:
        return
    job.writer.add({"failed_rows_left_out": n})
    job.writer.warnings.append(
        f"{n} responses that golden reward {reward} failed on are left out, as if they had not been sampled"
    )
