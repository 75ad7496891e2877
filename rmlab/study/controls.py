"""What every head has to be seen beside: random, oracle, length, copying, regression on golden scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rmlab.errors import InputError
from rmlab.study.cells import Member
from rmlab.study.judge import Mean
from rmlab.study.two_way import effect
from rmlab.study.values import CellValues, NotThere

ON = " · "  # between a control and its data, where a finding has several


def control_means(
    values: CellValues, members: Sequence[Member], metrics: Sequence[str]
) -> dict[str, list[Mean]]:
    """Of each control by its name, on the data of the finding; where these are several, each has its own.

    They have no seeds, so their intervals are over prompts alone.
    """
    found: dict[str, list[Mean]] = {}
    for data, words in _words_of_data(members).items():
        for name, cell in values.controls(data).items():
            for metric in metrics:
                if metric.startswith("proxy"):  # the scores of controls have other units
                    continue
                try:
                    value = values.of(cell, metric)
                    kept = value[~np.isnan(value)][None]
                    of = effect(kept, np.random.default_rng(0), n=500)
                except (NotThere, InputError):
                    continue
                full = name + words
                found.setdefault(full, []).append(Mean({"arm": full}, metric, of))
    return found


def _words_of_data(members: Sequence[Member]) -> dict[str, str]:
    """data -> what tells it from the finding's others: its values on the axes on which it has but one."""
    by_data: dict[str, list[Member]] = {}
    for member in members:
        by_data.setdefault(member.data, []).append(member)
    if len(by_data) == 1:
        return dict.fromkeys(by_data, "")
    axes = dict.fromkeys(axis for member in members for axis in member.axes)
    everywhere = {axis: {m.axes.get(axis) for m in members} for axis in axes}
    words = {}
    for data, those in by_data.items():
        here = {axis: {m.axes.get(axis) for m in those} for axis in axes if len(everywhere[axis]) > 1}
        own = [value for found in here.values() if len(found) == 1 for value in found if value is not None]
        words[data] = ON.join(["", *own])
    is_told = len(set(words.values())) == len(words) and all(words.values())
    return words if is_told else {data: ON + data for data in by_data}
