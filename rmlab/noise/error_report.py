"""Figures on annotators' answers: their error rate, and how informative they are."""

from __future__ import annotations

import numpy as np

from rmlab.comparisons import Comparisons, Kind

NEAR_COIN = 0.45  # answers with a larger share of errors tell next to nothing
QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}


def noise_report(
    comparisons: Comparisons, n_dropped_ties: int = 0, n_annotated: int | None = None
) -> dict[str, float]:
    """Returns counts, the realised error rate, the mean golden gap, and the mean and quantiles of p(1-p).

    n_dropped_ties: ties that the annotators left out, len(before) - len(after); n_ties adds those kept.
    n_annotated: answers that annotators gave, to ties too; None: one for each comparison.
    Ties have no right answer, so all else is over the other comparisons (NaN if there are none).
    error_rate: the share of answers against the golden order; for rankings, the share of the untied pairs
    within the lists that are in the wrong order; for choices, the share of lists whose best was not chosen.
    mean_margin: the mean of Comparisons.margin. p(1-p) with p = label_prob is, for pairs and single
    responses, the Fisher information of an answer: 1/4 for a coin flip, 0 without noise. For a list, p is the
    probability of the whole ranking or of the choice, which tells less the longer the list is.
    """
    tie = comparisons.tie
    report: dict[str, float] = {"n": len(comparisons), "n_ties": n_dropped_ties + int(tie.sum())}
    report["n_annotated"] = len(comparisons) + n_dropped_ties if n_annotated is None else n_annotated
    variance = _variance(comparisons) if not tie.all() else np.array([np.nan])
    report["error_rate"] = _error_rate(comparisons)
    report["mean_margin"] = float(comparisons.margin[~tie].mean()) if not tie.all() else float("nan")
    report["label_variance_mean"] = float(variance.mean())
    for name, level in QUANTILES.items():
        report[f"label_variance_{name}"] = float(np.quantile(variance, level))
    return report


def near_coin_warning(report: dict[str, float], kind: Kind) -> str | None:
    """Returns a warning where nearly half of the train answers are wrong, else None; report: of noise_report.

    Choices of K get none, since random choices are wrong in all but one of K cases.
    """
    if kind == "choice" or not report["error_rate"] > NEAR_COIN:
        return None
    rate, gap = report["error_rate"], report["mean_margin"]
    return (
        f"{rate:.1%} of the {report['n']:.0f} train answers are wrong, nearly as many as by a coin (mean "
        f"golden gap {gap:.2g}), so that there is little to learn; compare responses that differ more "
        "(another pairing), or have fewer wrong answers (a larger noise.beta, a smaller noise.error)"
    )


def label_variance_histogram(comparisons: Comparisons, bins: int = 20) -> dict[str, np.ndarray]:
    """Returns a histogram of p(1-p) of the untied comparisons: `low`, `high` and `count`, [bins] each.

    The bins are of equal width over [0, 1/4], closed below, the last one closed above too.
    """
    count, edges = np.histogram(_variance(comparisons), bins, range=(0, 0.25))
    return {"low": edges[:-1], "high": edges[1:], "count": count}


def _variance(comparisons: Comparisons) -> np.ndarray:
    """p(1-p) of the untied comparisons."""
    prob = comparisons.label_prob[~comparisons.tie]
    return prob * (1 - prob)


def _error_rate(comparisons: Comparisons) -> float:
    if comparisons.tie.all():
        return float("nan")
    if comparisons.kind != "list":
        return float(np.mean(~comparisons.correct[~comparisons.tie]))
    first, second = np.triu_indices(comparisons.golden.shape[1], 1)
    gap = comparisons.golden[:, first] - comparisons.golden[:, second]
    gap = gap[gap != 0]
    return float(np.where(np.isnan(gap), np.nan, gap < 0).mean())
