"""What every head has to be seen beside: random, oracle, length, copying, regression on golden scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rmlab.errors import InputError
from rmlab.study.judge import Mean
from rmlab.study.two_way import effect
from rmlab.study.values import CellValues, NotThere


def control_means(values: CellValues, metrics: Sequence[str]) -> dict[str, list[Mean]]:
    """Of each control by its name; they have no seeds, so their intervals are over prompts alone."""
    found: dict[str, list[Mean]] = {}
    for name, cell in values.controls.items():
        for metric in metrics:
            if metric.startswith("proxy"):  # the scores of controls have other units
                continue
            try:
                value = values.of(cell, metric)
                kept = value[~np.isnan(value)][None]
                found.setdefault(name, []).append(
                    Mean({"arm": name}, metric, effect(kept, np.random.default_rng(0), n=500))
                )
            except (NotThere, InputError):
                continue
    return found
