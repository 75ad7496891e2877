"""What the annotators did: error rate and how informative their answers are."""

from __future__ import annotations

import numpy as np

from rmlab.comparisons import Comparisons

QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}


def noise_report(comparisons: Comparisons, n_dropped_ties: int = 0) -> dict[str, float]:
    """Counts, the realised error rate, and mean and quantiles of p(1-p), p = label_prob.

    n_dropped_ties: ties the labels left out, len(before) - len(after); n_ties adds those kept.
    Ties have no right answer, so the error rate and p(1-p) are over the other comparisons (NaN if
    there are none). p(1-p) is the Fisher information of an answer: 1/4 for a coin, 0 for no noise.
    """
    tie = comparisons.tie
    report: dict[str, float] = {"n": len(comparisons), "n_ties": n_dropped_ties + int(tie.sum())}
    prob = comparisons.label_prob[~tie]
    variance = prob * (1 - prob) if len(prob) else np.array([np.nan])
    report["error_rate"] = float(np.mean(~comparisons.correct[~tie])) if len(prob) else float("nan")
    report["label_variance_mean"] = float(variance.mean())
    for name, level in QUANTILES.items():
        report[f"label_variance_{name}"] = float(np.quantile(variance, level))
    return report
