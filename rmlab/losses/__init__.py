"""Losses of comparisons. Scores and comparisons -> a value for each comparison."""

from rmlab.lazy import lazily

_MODULES = {
    "Adaptive": "robust",
    "AllPairs": "lists",
    "BradleyTerry": "pairs",
    "Centred": "base",
    "Choice": "lists",
    "Classification": "pairs",
    "Distributional": "robust",
    "Hinge": "pairs",
    "LabelSmoothing": "pairs",
    "Loss": "base",
    "Margin": "pairs",
    "NoiseCorrected": "pairs",
    "PlackettLuce": "lists",
    "Regression": "lists",
    "RobustBtl": "robust",
    "RoundedHinge": "pairs",
    "SoftLabels": "pairs",
    "UnpairedLoss": "lists",
}
__all__ = list(_MODULES)
__getattr__, __dir__ = lazily(__name__, _MODULES)
