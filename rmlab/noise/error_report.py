"""What the annotators did: error rate and how informative their answers are."""

from __future__ import annotations

import numpy as np

from rmlab.comparisons import Comparisons, Kind

NEAR_COIN = 0.45  # realised share of wrong answers from which on they say next to nothing
QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}


def noise_report(
    comparisons: Comparisons, n_dropped_ties: int = 0, n_annotated: int | None = None
) -> dict[str, float]:
    """Counts, the realised error rate, the mean golden gap, and mean and quantiles of p(1-p).

    n_dropped_ties: ties the labels left out, len(before) - len(after); n_ties adds those kept.
    n_annotated: answers that annotators gave, those to ties too; null: one for each comparison.
    Ties have no right answer, so the rest is over the other comparisons (NaN if there are none).
    error_rate: answers against the golden order; of rankings the share of all pairs within the lists,
    but for tied ones, in the wrong order, of choices that of lists whose best was not chosen.
    mean_margin: mean of |dr| as in Comparisons.margin. p(1-p), p = label_prob, of pairs and single
    responses is the Fisher information of an answer: 1/4 for a coin, 0 for no noise. Of a list p is the
    probability of the whole ranking or of the choice, which says less the longer the list.
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
    """What to say of train answers that are wrong nearly half of the time; report: of noise_report.

    None for choices of K, of which a coin gets all but one in K wrong.
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
    """p(1-p) of the comparisons without a tie -> low and high edge and count, arrays of [bins].

    Equal-width bins over [0, 1/4], closed below, the last one above too; p = label_prob, of a list
    the probability of the whole ranking or of the choice.
    """
    count, edges = np.histogram(_variance(comparisons), bins, range=(0, 0.25))
    return {"low": edges[:-1], "high": edges[1:], "count": count}


def _variance(comparisons: Comparisons) -> np.ndarray:
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
