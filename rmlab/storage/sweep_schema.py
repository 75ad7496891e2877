"""The tables of a sweep: a row a cell, with a column for each axis of the grid; a row a cell and prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import pyarrow as pa

from rmlab.storage.table_schema import Column, Table, ends, flag, number, text, whole

_SWEEP_METRICS = {
    "best_of_n": "golden reward of the best of largest_n",
    "selected_quantile": "share of the prompt's other responses that are worse than the chosen one",
    "spearman": "rank correlation with golden, 0 where all scores are equal, mean over prompts",
    "accuracy": "share of pairs of a prompt's responses that are in the golden order",
    "kendall": "Kendall's tau-b with golden, mean over prompts",
    "length_spearman": "rank correlation with the number of words",
    "partial_spearman": "rank correlation with golden given the number of words",
    "length_controlled_accuracy": "share of pairs in the golden order, where the pairs whose better response "
    "is longer have the same total weight as the other pairs",
    **{
        f"{metric}_{against}": f"{meaning} of the pair probabilities {text}"
        for against, text in (
            ("annotators", "against the answers of the annotators that the head learns from"),
            ("golden", "against the golden order"),
        )
        for metric, meaning in (
            ("ece", "expected calibration error"),
            ("nll", "mean negative log-likelihood, in nats,"),
            ("brier", "Brier score"),
            ("ece_raw", "expected calibration error before the temperature"),
        )
    },
    "largest_n": "number of responses to choose from",
    "golden_mean": "mean of the golden scores of all responses",
    "golden_deviation": "standard deviation of the golden scores of all responses: a unit for best_of_n",
    "n_prompts": "number of prompts judged",
    "n_constant": "prompts on which the head gives all responses one score; spearman and kendall are 0 there",
}
# The N at which best-of-N is kept for each prompt, by the column's suffix; it is also kept at the largest N.
AT_NS = {"4": 4, "16": 16, "64": 64, "256": 256}
PROMPT_METRICS = {
    "spearman": "rank correlation with golden; 0 where all scores are equal",
    "accuracy": "share of pairs of responses in the golden order",
    "selected_quantile": "share of the prompt's other responses that are worse than the best of largest_n",
    **{f"best_of_{n}": f"golden reward of the best of {n}" for n in AT_NS},
    "best_of_largest": "golden reward of the best of largest_n",
    **{f"proxy_of_{n}": f"the head's own score of the best of {n}" for n in AT_NS},
    "proxy_of_largest": "the head's own score of the best of largest_n",
}
_WITH_INTERVAL = ("best_of_n", "selected_quantile", "spearman", "accuracy")


def _sweep_metrics(split: str) -> list[Column]:
    columns = []
    for name, meaning in _SWEEP_METRICS.items():
        columns.append(number(f"{split}_{name}", f"{split} prompts: {meaning}", nullable=True))
        if name in _WITH_INTERVAL:
            for end in ("low", "high"):
                text = {"low": "lower end", "high": "upper end"}[end]
                column = number(f"{split}_{name}_{end}", f"{text} of its 95% interval", nullable=True)
                columns.append(column)
    return columns


_FIT = (  # the fit and its annotations
    flag("converged", "true if the fit converged", nullable=True),
    text("message", "message of the fit, if any", nullable=True),
    text("chosen", "values that the fit chose on validation, as JSON: l2, epoch, ...", nullable=True),
    whole("n_comparisons", "annotated comparisons that the head was fitted on", nullable=True),
    whole("n_ties", "ties among the drawn comparisons", nullable=True),
    whole("n_annotated", "answers of annotators to train comparisons, ties included", nullable=True),
    whole("n_validation", "validation comparisons, without ties", nullable=True),
    whole(
        "n_annotated_validation",
        "answers of annotators to validation comparisons, ties included",
        nullable=True,
    ),
    whole("n_annotated_all", "all answers of annotators, the sum of both", nullable=True),
    number("error_rate", "share of the answers that are wrong", nullable=True),
    number("mean_margin", "mean difference of golden scores over the comparisons", nullable=True),
    number("label_variance", "mean p(1-p), where p is the probability of the answer given", nullable=True),
)
_ANSWERS = (  # the head's predictions of the validation answers
    number(
        "temperature",
        "T fitted on validation answers: P(a preferred) = sigma((raw_a - raw_b) / T)",
        nullable=True,
    ),
    number(
        "validation_label_nll",
        "mean negative log-likelihood of the validation answers under these probabilities, in nats",
        nullable=True,
    ),
    number(
        "validation_label_accuracy",
        "share of the validation answers that the head agrees with",
        nullable=True,
    ),
)
_PROXY = (  # the head's score in golden units
    number(
        "proxy_slope",
        "golden reward per unit of the head's score, by least squares within validation prompts: "
        "(proxy_intercept + proxy_slope * proxy_of_N - test_golden_mean) / test_golden_deviation is "
        "the standardised golden reward that the head expects of its best of N",
        nullable=True,
    ),
    number("proxy_intercept", "golden reward that this line has where the head's score is 0", nullable=True),
)
_FLAGGED = (  # for losses that flag outliers
    whole("n_flagged", "comparisons that the loss takes for outliers", nullable=True),
    number("flagged_precision", "share of the flagged comparisons whose answer is wrong", nullable=True),
    number("flagged_recall", "share of the wrong answers that are flagged", nullable=True),
)
_INTERVALS = (  # for heads that estimate their uncertainty
    number(
        "test_interval_coverage",
        "Laplace heads and ensembles: share of test pairs whose true log-odds (of a noisy logistic "
        "annotator) lie in the head's 90 % interval",
        nullable=True,
    ),
    number("test_interval_width", "mean width of these intervals, in log-odds", nullable=True),
)


def sweep_table(axes: Mapping[str, pa.DataType] = MappingProxyType({})) -> Table:
    """The table of results, with a column of this type for each axis of the grid."""
    return Table(
        "results",
        "sweep",
        "results.parquet",
        ("cell",),
        "One row for each head that a sweep fitted and judged, and for each control; and a column for each "
        "axis of the grid, named as its setting: int64, double or bool if all values are such, else text.",
        (
            text("cell", "fingerprint of everything that the row depends on; controls: their name"),
            text("kind", "head, or the control: random, oracle, length, copying, ..."),
            *(
                Column(axis, kind, "value on this axis of the grid", nullable=True)
                for axis, kind in axes.items()
            ),
            text("state", "ok or failed"),
            text("reason", "why it failed", nullable=True),
            text("settings", "all settings of the cell, as JSON"),
            *_FIT,
            *_ANSWERS,
            *_PROXY,
            *_FLAGGED,
            *_sweep_metrics("validation"),
            *_sweep_metrics("test"),
            *_INTERVALS,
            flag("quick", "true if an MLP was scored in its quick (approximate) form", nullable=True),
            number("fit_seconds", "time of the fit on one thread", nullable=True),
            number("seconds", "time of the whole cell", nullable=True),
        ),
    )


def cell_prompts_table() -> Table:
    """The table of values on single test prompts, one row for each cell and prompt."""
    return Table(
        "cell_prompts",
        "sweep",
        "cell_prompts.parquet",
        ("cell", "prompt_id"),
        "The metrics of each fitted cell and each control on each test prompt, for paired comparisons. "
        "Null where a metric is not defined, or where the prompt has fewer than N responses.",
        (
            text("cell", "the cell, as in results"),
            text("prompt_id", "the test prompt"),
            *(Column(name, pa.float32(), meaning, nullable=True) for name, meaning in PROMPT_METRICS.items()),
        ),
    )


EVERY_AXIS = "*"  # of a mean: its place has a value on every axis
SWEEP_MEANS = Table(
    "sweep_means",
    "sweep_report",
    "sweep_means.parquet",
    ("by", "place", "metric"),
    "Means of a sweep: of each combination of its settings, and of each value on each axis over all other "
    "settings. best_of_largest is the best of largest_n in deviations of the golden reward, from the mean of "
    "all responses. spearman and accuracy are as in cell_prompts, the other metrics as in results, without "
    "interval.",
    (
        text("by", f"an axis, or {EVERY_AXIS}: a combination of all of them but the seed"),
        text("place", "values on the axes, as JSON"),
        text("metric", "the metric"),
        number("value", "mean over cells, on test prompts unless the metric says validation"),
        *(replace(column, nullable=True) for column in ends("its 95% interval over seeds and prompts")),
        number("less_first", "value minus that of the first value on the axis", nullable=True),
        *(replace(column, nullable=True) for column in ends("its interval", "less_first_")),
        whole("n_cells", "cells"),
        whole("n_seeds", "seeds", nullable=True),
        whole("n_prompts", "test prompts", nullable=True),
    ),
)
