"""The tables of a study: its claims with their verdicts, and the means that they rest on."""

from __future__ import annotations

import pyarrow as pa

from rmlab.storage.schemas import Column, Table

FINDINGS = Table(
    "findings",
    "study",
    "findings.parquet",
    ("finding", "claim"),
    "The claims of a study, each with its effect, interval over prompts, seeds and set-ups, and verdict.",
    (
        Column("finding", pa.string(), "the finding: the name of its file in conf/study/"),
        Column("claim", pa.string(), "the statement that is judged"),
        Column(
            "in_study", pa.bool_(), "true if the original study makes the claim, false if this project does"
        ),
        Column("metric", pa.string(), "the compared metric; golden rewards are in their standard deviations"),
        Column("kind", pa.string(), "greater, or not_less: no worse by more than `smallest`"),
        Column(
            "setup", pa.string(), "policy, golden reward and embedding; their number if there are several"
        ),
        Column("smallest", pa.float64(), "the smallest effect that would matter, set before the run"),
        Column("effect", pa.float64(), "mean difference on test prompts; NaN: not run"),
        Column("low", pa.float64(), "lower end of its 95% interval over prompts, seeds and set-ups"),
        Column("high", pa.float64(), "upper end"),
        Column("se", pa.float64(), "its standard error"),
        Column("df", pa.float64(), "degrees of freedom of the interval"),
        Column("n_seeds", pa.int64(), "seeds on both sides"),
        Column("n_prompts", pa.int64(), "test prompts"),
        Column("n_setups", pa.int64(), "set-ups (policy, golden reward and embedding) that are pooled"),
        Column(
            "n_in_favour",
            pa.int64(),
            "set-ups whose own effect is above 0 (not_less: -smallest); null for one set-up",
            True,
        ),
        Column("detectable", pa.float64(), "smallest effect that would be told from 0 with 80% power"),
        Column(
            "crossing",
            pa.float64(),
            "value of the axis at which the line through the differences crosses 0",
            True,
        ),
        Column("crossing_low", pa.float64(), "lower end of its 95% interval; -inf: none", nullable=True),
        Column("crossing_high", pa.float64(), "upper end; inf: none", nullable=True),
        Column(
            "p_supported",
            pa.float64(),
            "one-sided p-value of an effect of 0 or less (not_less: of -smallest or less)",
        ),
        Column(
            "p_contradicted",
            pa.float64(),
            "one-sided p-value of an effect of 0 (not_less: -smallest) or more",
        ),
        Column(
            "p_negligible",
            pa.float64(),
            "p-value of an effect of at least `smallest` in either direction",
            True,
        ),
        Column("verdict", pa.string(), "supported, contradicted, negligible, undecided, or not run"),
        Column(
            "at_edge", pa.bool_(), "true if rounding or another bootstrap could have given another verdict"
        ),
        Column("survives_holm", pa.bool_(), "true if the verdict survives Holm's correction over all claims"),
        Column(
            "corrected", pa.string(), "the verdict if it survives the correction, else undecided; or not run"
        ),
        Column("reason", pa.string(), "why it was not run", nullable=True),
    ),
)

FINDINGS_BY_SETUP = Table(
    "findings_by_setup",
    "study",
    "findings_by_setup.parquet",
    ("finding", "claim", "setup"),
    "The effect of each claim on each set-up, with its own interval, for claims over several set-ups.",
    (
        Column("finding", pa.string(), "the finding"),
        Column("claim", pa.string(), "the statement that is judged"),
        Column("setup", pa.string(), "policy, golden reward and embedding"),
        Column("effect", pa.float64(), "effect as in findings, on this set-up alone"),
        Column("low", pa.float64(), "lower end of its 95% interval over prompts and seeds"),
        Column("high", pa.float64(), "upper end"),
        Column("n_seeds", pa.int64(), "seeds"),
        Column("n_prompts", pa.int64(), "test prompts"),
    ),
)

STUDY_MEANS = Table(
    "study_means",
    "study",
    "study_means.parquet",
    ("finding", "place", "metric"),
    "Means over prompts, seeds and set-ups for each place of a finding (its values on the axes) and control.",
    (
        Column("finding", pa.string(), "the finding"),
        Column("place", pa.string(), "values on the axes of the finding, as JSON, or the control"),
        Column("kind", pa.string(), "head or control"),
        Column("metric", pa.string(), "as in findings"),
        Column("value", pa.float64(), "mean over test prompts, seeds and set-ups"),
        Column("low", pa.float64(), "lower end of its 95% interval over the same"),
        Column("high", pa.float64(), "upper end"),
        Column("n_seeds", pa.int64(), "seeds"),
        Column("n_prompts", pa.int64(), "test prompts"),
        Column("n_setups", pa.int64(), "set-ups"),
        Column(
            "error_rate",
            pa.float64(),
            "share of wrong answers in its train comparisons; the largest over set-ups",
            True,
        ),
    ),
)

STUDY_TABLES = (FINDINGS, FINDINGS_BY_SETUP, STUDY_MEANS)
