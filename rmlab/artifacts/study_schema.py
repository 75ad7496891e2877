"""The tables of a study: its claims with their verdicts, and the means that they rest on."""

from __future__ import annotations

import pyarrow as pa

from rmlab.artifacts.schemas import Column, Table

FINDINGS = Table(
    "findings",
    "study",
    "findings.parquet",
    ("finding", "claim"),
    "What a study claims, and what its cells here say: effects, intervals over prompts, seeds and set-ups.",
    (
        Column("finding", pa.string(), "the finding: the name of its file in conf/study/"),
        Column("claim", pa.string(), "the statement that is judged"),
        Column("in_study", pa.bool_(), "whether the study makes it; else it is of this project"),
        Column("metric", pa.string(), "what is compared; golden rewards in their standard deviations"),
        Column("kind", pa.string(), "greater, or not_less: no worse by more than `smallest`"),
        Column("setup", pa.string(), "policy, golden reward and embedding; of several set-ups how many"),
        Column("smallest", pa.float64(), "the smallest effect that would matter, set before the run"),
        Column("effect", pa.float64(), "mean difference on test prompts; NaN: not run"),
        Column("low", pa.float64(), "lower end of its 95% interval over prompts, seeds and set-ups"),
        Column("high", pa.float64(), "upper end"),
        Column("se", pa.float64(), "its standard error"),
        Column("df", pa.float64(), "degrees of freedom of the interval"),
        Column("n_seeds", pa.int64(), "seeds on both sides"),
        Column("n_prompts", pa.int64(), "test prompts"),
        Column("n_setups", pa.int64(), "set-ups: policy, golden reward and embedding; all are pooled"),
        Column(
            "n_in_favour", pa.int64(), "set-ups of several whose own effect is above 0, or -smallest", True
        ),
        Column("detectable", pa.float64(), "smallest effect that the set could have shown, with 80% power"),
        Column("crossing", pa.float64(), "value of the axis where the line through differences is 0", True),
        Column("crossing_low", pa.float64(), "lower end of its 95% interval; -inf: none", nullable=True),
        Column("crossing_high", pa.float64(), "upper end; inf: none", nullable=True),
        Column("p_supported", pa.float64(), "one-sided, of an effect of 0 or less; not_less: of -smallest"),
        Column("p_contradicted", pa.float64(), "one-sided, of an effect of the same or more"),
        Column("p_negligible", pa.float64(), "of an effect of smallest or more on either side", True),
        Column("verdict", pa.string(), "supported, contradicted, negligible, undecided, or not run"),
        Column("at_edge", pa.bool_(), "rounding or another bootstrap could have given another word"),
        Column("survives_holm", pa.bool_(), "the word's evidence survives Holm's correction over all claims"),
        Column("corrected", pa.string(), "the verdict if it survives that, else undecided; or not run"),
        Column("reason", pa.string(), "why it was not run", nullable=True),
    ),
)

FINDINGS_BY_SETUP = Table(
    "findings_by_setup",
    "study",
    "findings_by_setup.parquet",
    ("finding", "claim", "setup"),
    "The effect of each claim that is pooled over several set-ups, on each of them, with its own interval.",
    (
        Column("finding", pa.string(), "the finding"),
        Column("claim", pa.string(), "the statement that is judged"),
        Column("setup", pa.string(), "policy, golden reward and embedding"),
        Column("effect", pa.float64(), "as in findings, on this set-up alone"),
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
    "The places of each finding, with the controls: means over prompts, seeds and set-ups.",
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
            "error_rate", pa.float64(), "wrong answers that it was fitted on; the most of any set-up", True
        ),
    ),
)

STUDY_TABLES = (FINDINGS, FINDINGS_BY_SETUP, STUDY_MEANS)
