"""Scores of some responses, where a bad one costs no more than itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rmlab.errors import InputError, RmlabError
from rmlab.goldens.base import Failed, Score, Scorer
from rmlab.logs import log
from rmlab.text import Exchange

_LARGEST = 1e100  # of a score: squares and sums of it are numbers still
_LONGEST = 200  # characters of a reason


def score_rows(scorer: Scorer, exchanges: Sequence[Exchange], name: str) -> list[Score]:
    """Finite scores, and for the rest why there is none. Where the scorer raises, each row is tried alone."""
    try:
        return _scores(scorer, exchanges, name)
    except Exception as error:
        if not _is_of_a_row(error):
            raise
        log.trouble(error, reward=name)
    return [_alone(scorer, exchange, name) for exchange in exchanges]


def _alone(scorer: Scorer, exchange: Exchange, name: str) -> Score:
    try:
        return _scores(scorer, [exchange], name)[0]
    except Exception as error:
        if not _is_of_a_row(error):
            raise
        return Failed(_line(f"{type(error).__name__}: {error}"))


def _is_of_a_row(error: Exception) -> bool:
    """Not what is wrong with the settings, nor with the machine."""
    of_all = ("OutOfMemoryError", "AcceleratorError")  # torch's, which need not be installed here
    return not isinstance(error, RmlabError | MemoryError) and type(error).__name__ not in of_all


def _scores(scorer: Scorer, exchanges: Sequence[Exchange], name: str) -> list[Score]:
    found = [_checked(value) for value in scorer(exchanges)]
    if len(found) != len(exchanges):
        raise InputError(f"golden reward {name} gave {len(found)} scores for {len(exchanges)} responses")
    return found


def _checked(value: Any) -> Score:
    if isinstance(value, Failed):
        return Failed(_line(value.reason))
    try:
        number = float(value)
    except (TypeError, ValueError):
        return Failed(_line(f"the reward is {value!r}, not a number"))
    return number if abs(number) <= _LARGEST else Failed(f"the reward is {number}")  # NaN is not


def _line(text: str) -> str:
    """The first line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (lines[0] if lines else "no reason given")[:_LONGEST]
