"""Annotators' answers on validation prompts: how heads are chosen without golden scores.

One rule, whatever the arms were fitted on: the answers of all arms together, as pairs of responses, each
distinct one once. So arms of other pairings, budgets or annotators are judged on the same answers. Those of
a teacher in the annotators' place do not count: it would agree with itself; nor do answers to another golden
reward, which an arm of several objectives has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rmlab.comparisons import Comparisons
from rmlab.config.components import as_component
from rmlab.evaluation.arms import ScoredArm
from rmlab.evaluation.fit import label_agreement
from rmlab.noise.base import Labels
from rmlab.pipeline.job import Job
from rmlab.responses.table import Responses
from rmlab.storage.artifact import Artifact

_ANSWER = ["preferred", "other", "share"]
_NONE = pd.DataFrame(columns=[*_ANSWER, "weight"])


@dataclass(frozen=True, eq=False)
class ValidationAnswers:
    """ids: [u] of the responses that were compared; items: [n, 2] rows of them, the preferred first;
    share, weight: [n]. raw, score: arm -> [u] score as fitted and reward, filled cut by cut."""

    ids: pa.Array
    items: np.ndarray
    share: np.ndarray
    weight: np.ndarray
    raw: dict[str, np.ndarray] = field(default_factory=dict)
    score: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, job: Job) -> ValidationAnswers:
        """An answer that several arms hold has the greatest weight that one of them gives it."""
        fitted = job.several("fit_rm").values()
        asked = job.settings.labelling
        frames = [_answers(one, asked) for one in fitted if not _is_taught(one)] or [_NONE]
        every = pd.concat(frames).groupby(_ANSWER, sort=True)["weight"].max().reset_index()
        ids, items = np.unique(every[_ANSWER[:2]].to_numpy(str), return_inverse=True)
        shape = (len(every), 2)
        share, weight = (every[name].to_numpy(float) for name in ("share", "weight"))
        return cls(pa.array(ids.tolist(), pa.string()), items.reshape(shape), share, weight)

    def __len__(self) -> int:
        return len(self.items)

    def rows(self, responses: Responses) -> np.ndarray:
        """[u] row of each compared response among those of a cut, -1 for one of another cut."""
        return responses.ids.find(self.ids)  # type: ignore[union-attr]

    def add(self, arms: Sequence[ScoredArm], rows: np.ndarray, raw_of: np.ndarray) -> None:
        """rows: as above; raw_of: the rows, ascending, of which arms have raw scores."""
        here = np.flatnonzero(rows >= 0)
        at = np.searchsorted(raw_of, rows[here])
        for arm in arms:
            if arm.raw is not None and arm.kind == "head":
                self.raw.setdefault(arm.name, np.full(len(self.ids), np.nan))[here] = arm.raw[at]
                self.score.setdefault(arm.name, np.full(len(self.ids), np.nan))[here] = arm.scores[rows[here]]

    def agreement(self, arm: str, temperature: float) -> dict[str, float]:
        """label_nll and label_accuracy of a head; NaN without an answer that compares two responses."""
        if not len(self):
            return label_agreement(np.empty(0), self.share, self.weight)
        log_odds, lead = (of[arm][self.items] @ (1, -1) for of in (self.raw, self.score))
        return label_agreement(log_odds / temperature, self.share, self.weight, lead)


def _is_taught(fitted: Artifact) -> bool:
    """Whether a teacher answered for this head."""
    return bool(fitted.manifest.metrics.get("teacher"))


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
