"""Annotators' answers on validation prompts: how heads are chosen without golden scores.

One rule, whatever the arms were fitted on: the answers of all arms together, as pairs of responses, each
distinct one once. So arms of other pairings, budgets or annotators are judged on the same answers. Those of
a teacher in the annotators' place do not count: it would agree with itself; nor do answers to another golden
reward, which an arm of several objectives has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rmlab.comparisons import Comparisons
from rmlab.config.components import as_component
from rmlab.errors import InputError
from rmlab.evaluation.fit import label_agreement
from rmlab.evaluation.judged_arms import ScoredArm
from rmlab.noise.base import Labels
from rmlab.pipeline.job import Job
from rmlab.storage.artifact import Artifact

_ANSWER = ["preferred", "other", "share"]
_NONE = pd.DataFrame(columns=[*_ANSWER, "weight"])


@dataclass(frozen=True, eq=False)
class ValidationAnswers:
    """items: [n, 2] rows of the responses that are compared, the preferred first; share, weight: [n]."""

    items: np.ndarray
    share: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, job: Job, ids: pa.Array) -> ValidationAnswers:
        """Takes each answer once, with the greatest weight that an arm gives it. ids: of all responses."""
        asked = job.settings.labelling
        by_annotators = [
            one for one in job.several("fit_rm").values() if not one.manifest.metrics.get("teacher")
        ]
        frames = [_answers(one, asked) for one in by_annotators] or [_NONE]
        every = pd.concat(frames).groupby(_ANSWER, sort=True)["weight"].max().reset_index()
        named = pa.array(every[_ANSWER[:2]].to_numpy(str).ravel(), pa.string())
        items = pc.index_in(named, value_set=ids)
        if items.null_count:
            raise InputError(
                "validation answers name unknown responses; run `rmlab fit-rm` again with --force"
            )
        share, weight = (every[name].to_numpy(float) for name in ("share", "weight"))
        return cls(items.to_numpy().reshape(-1, 2), share, weight)

    def __len__(self) -> int:
        return len(self.items)

    def agreement(self, arm: ScoredArm) -> dict[str, float]:
        """label_nll and label_accuracy of a head; NaN without an answer that compares two responses."""
        if arm.raw is None or not len(self):
            return label_agreement(np.empty(0), self.share, self.weight)
        log_odds, lead = (of[self.items] @ (1, -1) for of in (arm.raw, arm.scores))
        return label_agreement(log_odds / arm.temperature, self.share, self.weight, lead)


def _answers(fitted: Artifact, reward: str) -> pd.DataFrame:
    """The pairs that an arm's validation answers to a golden reward imply; equal answers of several
    annotators are added up."""
    table = fitted.read("comparisons", ["kind", "items", "split", "reward", "share", "weight"])
    table = table.filter(pc.and_(pc.equal(table["split"], "validation"), pc.equal(table["reward"], reward)))
    frame = _NONE
    if table.num_rows:
        items = np.array(table["items"].to_pylist(), dtype=str)
        share, weight = (table[name].to_numpy() for name in ("share", "weight"))
        group = np.zeros(len(items), np.int64)
        numbered = np.arange(items.size).reshape(items.shape)
        kind = table["kind"][0].as_py()
        comparisons = Comparisons(numbered, group, kind=kind, share=share, weight=weight)
        pairs, share, weight = comparisons.implied_pairs()
        preferred, other = items.ravel()[pairs].T
        frame = pd.DataFrame({"preferred": preferred, "other": other, "share": share, "weight": weight})
    return frame.groupby(_ANSWER, sort=True)["weight"].sum().reset_index()


ANNOTATOR = "annotator"  # among the metrics of fit_rm: the settled settings of noise


def annotators_of(job: Job) -> dict[str, Labels]:
    """Arm -> who answered its comparisons: its noise, with what fit_rm settled on the comparisons it drew."""
    found = {}
    for name, artifact in job.several("fit_rm").items():
        manifest = artifact.manifest
        known = as_component(manifest.config["noise"], "noise")
        noise = {**known, **manifest.metrics.get(ANNOTATOR, {})}
        found[name] = job.build(noise, f"noise of {name}")
    return found
