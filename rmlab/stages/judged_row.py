"""One arm on one split as one flat row: what a sweep over many heads keeps."""

from __future__ import annotations

import numpy as np

from rmlab.settings import Evaluation
from rmlab.stages.judging import PAIRED_METRICS, Judged
from rmlab.stages.measuring import within


def judge_one(judged: Judged, evaluation: Evaluation, seed: int) -> dict[str, float]:
    """best_of_n, spearman, accuracy, selected_quantile, each with _low and _high; kendall,
    length_spearman; the numbers of Odds; largest_n, n_prompts, n_constant, golden_mean, golden_deviation.
    The numbers of metric_rows; NaN where not defined."""
    per_prompt = judged.measured.per_prompt
    found = judged.resamples(evaluation, seed).intervals(np.column_stack(list(per_prompt.values())))
    row: dict[str, float] = {}
    for metric, mean, low, high in zip(per_prompt, *found, strict=True):
        row[metric] = float(mean)
        if metric in PAIRED_METRICS:
            row[f"{metric}_low"], row[f"{metric}_high"] = within(metric, low, high)
    if judged.odds is not None:
        row |= judged.odds.numbers()
    row |= {"largest_n": float(judged.measured.ns[-1]), "n_prompts": float(judged.n_prompts)}
    row["n_constant"] = float(judged.n_constant)
    row |= {"golden_mean": judged.measured.golden_mean, "golden_deviation": judged.measured.golden_deviation}
    return row
