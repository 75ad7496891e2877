"""What every head has to be seen beside: random, oracle, length, copying, regression on golden scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rmlab.errors import InputError
from rmlab.study.cells import Member
from rmlab.study.effects import effect
from rmlab.study.judge import ROUGH, Mean
from rmlab.study.values import EXPECTED, CellValues, NotThere


def control_means(
    values: CellValues, members: Sequence[Member], metrics: Sequence[str]
) -> dict[str, list[Mean]]:
    """Of each control by its name: over prompts, and over the data of the finding, one or more.

    They have no seeds. Their scores are no head's, so that what one expects is left out.
    """
    data = list(dict.fromkeys(member.data for member in members))
    cells = [values.controls(one) for one in data]
    found: dict[str, list[Mean]] = {}
    for name in dict.fromkeys(name for of in cells for name in of):
        for metric in metrics:
            if metric.startswith(EXPECTED):
                continue
            try:
                of = np.array([values.of(there[name], metric) for there in cells if name in there])
                kept = of[:, ~np.isnan(of).any(axis=0)]
                mean = effect(kept[:, None], np.random.default_rng(0), ROUGH)
            except (NotThere, InputError, ValueError):  # ValueError: data of different prompts
                continue
            found.setdefault(name, []).append(Mean({"arm": name}, metric, mean))
    return found
