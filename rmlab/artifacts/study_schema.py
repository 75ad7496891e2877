"""The tables of a study: its claims with their verdicts, and the means that they rest on."""

from __future__ import annotations

import pyarrow as pa

from rmlab.artifacts.schemas import Column, Table

FINDINGS = Table(
    "findings",
    "study",
    "findings.parquet",
    ("finding", "claim"),
    "What a study claims, and what its cells here say: effects with intervals over prompts and seeds.",
    (
        Column("finding", pa.string(), "the finding: the name of its file in conf/study/"),
        Column("claim", pa.string(), "the statement that is judged"),
        Column("in_study", pa.bool_(), "whether the study makes it; else it is of this project"),
        Column("metric", pa.string(), "what is compared; golden rewards in their standard deviations"),
        Column("kind", pa.string(), "greater, or not_less: no worse by more than `smallest`"),
        Column("smallest", pa.float64(), "the smallest effect that would matter, set before the run"),
        Column("effect", pa.float64(), "mean difference on test prompts; NaN: not run"),
        Column("low", pa.float64(), "lower end of its 95% interval over prompts and seeds"),
        Column("high", pa.float64(), "upper end"),
        Column("se", pa.float64(), "its standard error"),
        Column("df", pa.float64(), "degrees of freedom of the interval"),
        Column("n_seeds", pa.int64(), "seeds on both sides"),
        Column("n_prompts", pa.int64(), "test prompts"),
        Column("detectable", pa.float64(), "smallest effect that the set could have shown, with 80% power"),
        Column("p", pa.float64(), "two-sided p-value of no effect; not_less: of an effect of -smallest"),
        Column("survives_holm", pa.bool_(), "p stays below 5% in Holm's correction over all claims"),
        Column("verdict", pa.string(), "supported, not supported, undecided, or not run"),
        Column("reason", pa.string(), "why it was not run", nullable=True),
    ),
)

STUDY_MEANS = Table(
    "study_means",
    "study",
    "study_means.parquet",
    ("finding", "place", "metric"),
    "The places of each finding, with the controls: means over prompts and seeds.",
    (
        Column("finding", pa.string(), "the finding"),
        Column("place", pa.string(), "values on the axes of the finding, as JSON, or the control"),
        Column("kind", pa.string(), "head or control"),
        Column("metric", pa.string(), "as in findings"),
        Column("value", pa.float64(), "mean over test prompts and seeds"),
        Column("low", pa.float64(), "lower end of its 95% interval over prompts and seeds"),
        Column("high", pa.float64(), "upper end"),
        Column("n_seeds", pa.int64(), "seeds"),
        Column("n_prompts", pa.int64(), "test prompts"),
    ),
)

STUDY_TABLES = (FINDINGS, STUDY_MEANS)
