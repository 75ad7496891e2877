"""The tables of a study: its claims with their verdicts, and the means that they rest on."""

from __future__ import annotations

from rmlab.storage.table_schema import Table, ends, flag, number, text, whole

FINDINGS = Table(
    "findings",
    "study",
    "findings.parquet",
    ("finding", "claim"),
    "The claims of a study, each with its effect, interval over prompts, seeds and set-ups, and verdict.",
    (
        text("finding", "the finding: the name of its file in conf/study/"),
        text("claim", "the statement that is judged"),
        flag("in_study", "true if the original study makes the claim, false if this project does"),
        text("metric", "the compared metric; golden rewards are in their standard deviations"),
        text("kind", "greater, or not_less: no worse by more than `smallest`"),
        text("setup", "policy, golden reward and embedding; their number if there are several"),
        number("smallest", "the smallest effect that would matter, set before the run"),
        number("effect", "mean difference on test prompts; NaN: not run"),
        *ends("its 95% interval over prompts, seeds and set-ups"),
        number("se", "its standard error"),
        number("df", "degrees of freedom of the interval"),
        whole("n_seeds", "seeds on both sides"),
        whole("n_prompts", "test prompts"),
        whole("n_setups", "set-ups (policy, golden reward and embedding) that are pooled"),
        whole(
            "n_in_favour",
            "set-ups whose own effect is above 0 (not_less: -smallest); null for one set-up",
            nullable=True,
        ),
        number("detectable", "smallest effect that would be told from 0 with 80% power"),
        number(
            "crossing", "value of the axis at which the line through the differences crosses 0", nullable=True
        ),
        number("crossing_low", "lower end of its 95% interval; -inf: none", nullable=True),
        number("crossing_high", "upper end; inf: none", nullable=True),
        number("p_supported", "one-sided p-value of an effect of 0 or less (not_less: of -smallest or less)"),
        number("p_contradicted", "one-sided p-value of an effect of 0 (not_less: -smallest) or more"),
        number(
            "p_negligible", "p-value of an effect of at least `smallest` in either direction", nullable=True
        ),
        text("verdict", "supported, contradicted, negligible, undecided, or not run"),
        flag("at_edge", "true if rounding or another bootstrap could have given another verdict"),
        flag("survives_holm", "true if the verdict survives Holm's correction over all claims"),
        text("corrected", "the verdict if it survives the correction, else undecided; or not run"),
        text("reason", "why it was not run", nullable=True),
    ),
)

FINDINGS_BY_SETUP = Table(
    "findings_by_setup",
    "study",
    "findings_by_setup.parquet",
    ("finding", "claim", "setup"),
    "The effect of each claim on each set-up, with its own interval, for claims over several set-ups.",
    (
        text("finding", "the finding"),
        text("claim", "the statement that is judged"),
        text("setup", "policy, golden reward and embedding"),
        number("effect", "effect as in findings, on this set-up alone"),
        *ends("its 95% interval over prompts and seeds"),
        whole("n_seeds", "seeds"),
        whole("n_prompts", "test prompts"),
    ),
)

STUDY_MEANS = Table(
    "study_means",
    "study",
    "study_means.parquet",
    ("finding", "place", "metric"),
    "Means over prompts, seeds and set-ups for each place of a finding (its values on the axes) and control.",
    (
        text("finding", "the finding"),
        text("place", "values on the axes of the finding, as JSON, or the control"),
        text("kind", "head or control"),
        text("metric", "as in findings"),
        number("value", "mean over test prompts, seeds and set-ups"),
        *ends("its 95% interval over the same"),
        whole("n_seeds", "seeds"),
        whole("n_prompts", "test prompts"),
        whole("n_setups", "set-ups"),
        number(
            "error_rate",
            "share of wrong answers in its train comparisons; the largest over set-ups",
            nullable=True,
        ),
    ),
)

STUDY_TABLES = (FINDINGS, FINDINGS_BY_SETUP, STUDY_MEANS)
