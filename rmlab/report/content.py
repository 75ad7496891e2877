"""What a report is made of: plain values and data frames, read and joined by the stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class StageRow:
    """One finished stage, as its manifest tells it."""

    stage: str
    name: str
    rows: int
    seconds: float
    fingerprint: str
    counts: dict[str, int | float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ComparisonDesign:
    """What one head was fitted on, and how that went.

    config, metrics: those of the manifest of its fit_rm; variance: LABEL_VARIANCE.
    """

    arm: str
    config: dict[str, Any]
    metrics: dict[str, Any]
    variance: pd.DataFrame


@dataclass(frozen=True)
class HeldOutFrames:
    """Frames of the tables in `artifacts/heldout_schema.py`.

    accuracy: HELDOUT; pairs: HELDOUT_PAIRS; calibration: HELDOUT_CALIBRATION; agreement: HELDOUT_AGREEMENT.
    folds: of cross-validation; baseline: name of the arm that the others are compared with.
    """

    accuracy: pd.DataFrame
    pairs: pd.DataFrame
    calibration: pd.DataFrame
    agreement: pd.DataFrame
    folds: int
    baseline: str


@dataclass(frozen=True)
class ReportContent:
    """Everything the page shows. Frames have the columns of the tables in `rmlab/storage/schemas.py`.

    title, experiment: heading and name of the run.
    chosen: the head that was chosen on validation prompts; an arm of `metrics`.
    verdict: two or three plain sentences with numbers and intervals.
    metrics, curves, calibration, head_scores: METRICS, CURVES, CALIBRATION, HEAD_SCORES of all heads.
    paired: PAIRED; either order of two arms will do, the report turns the sign where it must.
    responses: prompt_id, response_id, text, split, finish_reason, n_tokens (RESPONSES, or that part of it).
    prompts: prompt_id, split, messages (PROMPTS); messages are lists of {role, content}.
    sft_log: TRAINING_LOG of the sft stage, or None when the policy was not trained.
    versions, git: names to plain values, shown as they are. created: a time stamp, shown as it is.
    question: what was asked, one or two sentences under the title.
    reward: name of the golden reward, for axes and captions.
    facts: names to plain values, shown beside the verdict (policy, embedding model, annotator error, …).
    designs: one a head; the section of designs is left out without any.
    heldout: accuracy on held-out pairs; the section is left out without it.
    """

    title: str
    experiment: str
    chosen: str
    verdict: list[str]
    config_yaml: str
    commands: list[str]
    stages: list[StageRow]
    metrics: pd.DataFrame
    curves: pd.DataFrame
    paired: pd.DataFrame
    calibration: pd.DataFrame
    head_scores: pd.DataFrame
    responses: pd.DataFrame
    prompts: pd.DataFrame
    sft_log: pd.DataFrame | None
    versions: dict[str, str]
    git: dict[str, Any]
    created: str
    question: str = ""
    reward: str = "golden reward"
    facts: dict[str, str] = field(default_factory=dict)
    designs: list[ComparisonDesign] = field(default_factory=list)
    heldout: HeldOutFrames | None = None

    @property
    def split(self) -> str:
        """The split that results are reported on: test, or the only one there is."""
        splits = list(self.metrics["split"].unique())
        return "test" if "test" in splits or not splits else str(splits[-1])

    @property
    def warnings(self) -> list[tuple[str, str]]:
        """(stage, warning) of every stage, in order."""
        return [(row.stage, text) for row in self.stages for text in row.warnings]
