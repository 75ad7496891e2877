"""Recipes that fit heads to comparisons of embeddings, and the heads that they fit."""

from rmlab.lazy import lazily

_MODULES = {
    "Directions": "directions",
    "Ensemble": "ensemble",
    "FitData": "base",
    "FitLog": "base",
    "HeadFitter": "base",
    "Laplace": "laplace",
    "Linear": "linear",
    "Mlp": "mlp",
    "Ridge": "baselines",
    "Trees": "trees",
    "fit_logistic": "baselines",
    "load_head": "fitted.load",
}
__all__ = list(_MODULES)
__getattr__, __dir__ = lazily(__name__, _MODULES)
