"""Simulated annotators: they answer comparisons by golden rewards, with errors."""

from rmlab.lazy import lazily

_MODULES = {
    "Crowd": "crowd",
    "LargestMarginFlips": "flips",
    "Logistic": "logistic",
    "RandomFlips": "flips",
}
__all__ = list(_MODULES)
__getattr__, __dir__ = lazily(__name__, _MODULES)
