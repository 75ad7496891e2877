"""Selectors choose which comparisons are worth asking for."""

from rmlab.lazy import lazily

_MODULES = {
    "Candidates": "base",
    "Coreset": "designs",
    "DOptimal": "designs",
    "Entropy": "by_score",
    "MaxDifference": "by_score",
    "Uniform": "by_score",
}
__all__ = list(_MODULES)
__getattr__, __dir__ = lazily(__name__, _MODULES)
