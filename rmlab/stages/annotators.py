"""The annotators that the heads of an evaluation learned from, who answer other pairs too."""

from __future__ import annotations

from rmlab.labels.base import Labels
from rmlab.stages.base import Job

ANNOTATOR = "annotator"  # among the metrics of fit_rm: the settled settings of noise


def annotators_of(job: Job) -> dict[str, Labels]:
    """Arm -> who answered its comparisons: its noise, with what fit_rm settled on the comparisons it drew."""
    found = {}
    for name, artifact in job.several("fit_rm").items():
        manifest = artifact.manifest
        noise = {**manifest.config["noise"], **manifest.metrics.get(ANNOTATOR, {})}
        found[name] = job.build(noise, f"noise of {name}")
    return found
