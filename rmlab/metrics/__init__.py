"""Metrics of scores: best-of-N, rank correlation, accuracy, calibration, intervals."""

from rmlab.lazy import lazily

_MODULES = {
    "GoldenOrder": "order",
    "ScoreOrder": "order",
    "best_of_n": "among_n",
    "brier_score": "calibration",
    "expected_calibration_error": "calibration",
    "fit_temperature": "calibration",
    "interval": "intervals",
    "kendall": "rank_correlation",
    "kl_of_n": "among_n",
    "negative_log_likelihood": "calibration",
    "pairwise_accuracy": "accuracy",
    "proxy_of_n": "among_n",
    "reliability": "calibration",
    "selected_quantile": "among_n",
    "spearman": "rank_correlation",
}
__all__ = list(_MODULES)
__getattr__, __dir__ = lazily(__name__, _MODULES)
