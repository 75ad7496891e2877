"""The content of a report as plain values and data frames, which the stage report gathers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from rmlab.report.use_it import UseIt


@dataclass(frozen=True)
class StageRow:
    """A finished stage, by its manifest."""

    stage: str
    name: str
    rows: int
    seconds: float
    fingerprint: str
    counts: dict[str, int | float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ComparisonDesign:
    """The comparisons that a head was fitted on, and its fit.

    config, metrics: from the manifest of fit_rm; variance: the table LABEL_VARIANCE.
    """

    arm: str
    config: dict[str, Any]
    metrics: dict[str, Any]
    variance: pd.DataFrame


@dataclass(frozen=True)
class HeldOutFrames:
    """The tables of `rmlab/storage/heldout_schema.py` as frames.

    accuracy: HELDOUT; pairs: HELDOUT_PAIRS; calibration: HELDOUT_CALIBRATION; agreement: HELDOUT_AGREEMENT.
    folds: their number in cross-validation; baseline: name of the arm that others are compared with.
    """

    accuracy: pd.DataFrame
    pairs: pd.DataFrame
    calibration: pd.DataFrame
    agreement: pd.DataFrame
    folds: int
    baseline: str


@dataclass(frozen=True)
class ReportContent:
    """Everything that the page shows. Frames have the columns of the tables in `rmlab/storage/schemas.py`.

    title, experiment: heading of the page and name of the experiment.
    chosen: name of the head that was chosen on validation prompts, an arm of `metrics`.
    verdict: two or three plain sentences with numbers and intervals.
    metrics, curves, calibration, head_scores: METRICS, CURVES, CALIBRATION, HEAD_SCORES of all heads.
    paired: PAIRED, with each two arms in either order; the report turns the sign where needed.
    responses: prompt_id, split, finish_reason, n_tokens of all responses.
    texts: gives text, n_tokens and finish_reason of some responses, by response_id; without those it lacks.
    prompts: prompt_id, split, messages (PROMPTS); messages are lists of {role, content}.
    sft_log: TRAINING_LOG of the stage sft, or None if the policy was not trained.
    versions, git: plain values by name. created: a time stamp. All three are shown as they are.
    question: the question of the experiment, one or two sentences under the title.
    reward: name of the golden reward, for axes and captions.
    facts: texts by name, shown below the verdict (policy, comparisons, annotator error, …).
    designs: one for each head; without any, the page has no section of designs.
    heldout: accuracy on held-out pairs; without it, the page has no section of them.
    use: how the chosen head is used; without it, the page has no section of that.
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
    texts: Callable[[Sequence[str]], pd.DataFrame]
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
    use: UseIt | None = None

    @property
    def split(self) -> str:
        """The split that results are reported on: test, or the only one there is."""
        splits = list(self.metrics["split"].unique())
        return "test" if "test" in splits or not splits else str(splits[-1])

    def scores_of_chosen(self, split: str) -> pd.DataFrame:
        """The responses of a split that both the chosen head and the golden reward have scored."""
        scores = self.head_scores
        mine = (scores["arm"] == self.chosen) & (scores["split"] == split)
        columns = ["prompt_id", "response_id", "score", "golden"]
        return scores.loc[mine, columns].dropna(subset=["score", "golden"])

    @property
    def warnings(self) -> list[tuple[str, str]]:
        """All warnings, in the order of the stages, as (stage, warning)."""
        return [(row.stage, text) for row in self.stages for text in row.warnings]
