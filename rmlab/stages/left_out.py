"""Responses that the golden reward failed on are left out, and that is said."""

from __future__ import annotations

from rmlab.stages.base import Job


def note_left_out(job: Job, n: int, reward: str) -> None:
    """Counts the n of them in the manifest, with one warning."""
    if not n:
        return
    job.writer.add({"failed_rows_left_out": n})
    job.writer.warnings.append(
        f"{n} responses that golden reward {reward} failed on are left out, as if they had not been sampled"
    )
