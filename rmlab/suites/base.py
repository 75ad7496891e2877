"""A benchmark suite: rows of a prompt with answers, and how the scores of the answers make its results.

A suite is a record of pure functions. Every result is a weighted sum of means over rows, so that one function
computes all of them with their intervals (`rmlab/suites/lines.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rmlab.config.hints import nearest
from rmlab.data.forms.base import answer_text, has, listed, need
from rmlab.data.reader import Row
from rmlab.errors import InputError
from rmlab.models.text.rendering import Message
from rmlab.storage.files import plain

Kind = Literal["part", "subset", "section", "overall"]


@dataclass(frozen=True)
class Question:
    """One row of a benchmark.

    number: of the row in the file, from 1; where: names it in errors; unit: what is resampled, the same text
    for rows of the same prompt; answers: in the order in which the suite has them, the n_right right ones
    first; given: columns of the row that the results repeat.
    """

    number: int
    where: str
    unit: str
    subset: str
    messages: list[Message]
    answers: tuple[str, ...]
    n_right: int
    given: Mapping[str, Any]

    @property
    def prompt(self) -> str | list[Message]:
        """The prompt as text, or as messages if it is more than one of the user's."""
        only = self.messages[0]
        return only["content"] if len(self.messages) == 1 and only["role"] == "user" else self.messages

    def conversation(self, answer: int) -> list[Message]:
        """The prompt with one of the answers, as messages."""
        return [*self.messages, {"role": "assistant", "content": self.answers[answer]}]


@dataclass(frozen=True, eq=False)
class Term:
    """A mean over some rows. rows: [m] their places among the questions; values: [m]."""

    rows: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Line:
    """A result: the sum over terms of weight times mean, which lies between least and most."""

    name: str
    kind: Kind
    weights: Mapping[str, float]
    least: float = 0.0
    most: float = 1.0


@dataclass(frozen=True)
class Tally:
    """The terms of a suite by name, its results in the order in which they are shown, and remarks on them."""

    terms: Mapping[str, Term]
    lines: Sequence[Line]
    notes: Sequence[str] = ()


Scores = Sequence[np.ndarray]  # of the answers of each question


@dataclass(frozen=True)
class Suite:
    """A benchmark.

    dataset, split: where its rows come from; columns: those of a row; question: reads a row, given its number
    and what names it in errors; check: raises InputError for rows that do not go together; measure: results
    of scores; result: a row of results in the suite's own shape, given the name of what judged.
    """

    name: str
    dataset: str
    split: str
    columns: str
    question: Callable[[Row, int, str], Question]
    check: Callable[[Sequence[Question]], None]
    measure: Callable[[Sequence[Question], Scores], Tally]
    result: Callable[[Question, np.ndarray, str], dict[str, Any]]


def term_of(values: Mapping[int, float | bool]) -> Term:
    """The term of values by the place of their question."""
    return Term(np.fromiter(values, dtype=int), np.array([float(v) for v in values.values()]))


def mean_of(lines: Sequence[Line], name: str, kind: Kind, weights: Sequence[float] | None = None) -> Line:
    """The weighted mean of some results; without weights, all count alike."""
    shares = np.ones(len(lines)) if weights is None else np.array(weights, dtype=float)
    shares /= shares.sum()
    total: dict[str, float] = {}
    for line, share in zip(lines, shares, strict=True):
        for term, weight in line.weights.items():
            total[term] = total.get(term, 0.0) + float(share) * weight
    least, most = (float(shares @ [getattr(line, end) for line in lines]) for end in ("least", "most"))
    return Line(name, kind, total, least, most)


def one_text(row: Row, column: str, where: str) -> str:
    """An answer of a row, which may be blank but must be there."""
    return answer_text(need(row, column, where), column, where)


def texts_of(row: Row, column: str, where: str, n: int | None = None) -> list[str]:
    """The answers of a row that are a list; n: how many there must be, else at least one."""
    values = listed(row, column, where)
    if n is not None and len(values) != n:
        raise InputError(f"{where}: '{column}' has {len(values)} answers; the suite has {n} in each row")
    if not values:
        raise InputError(f"{where}: '{column}' has no answer; give at least one")
    for k, value in enumerate(values, start=1):
        if value is None:
            raise InputError(f"{where}: answer {k} of '{column}' is missing; give its text")
    return [answer_text(value, column, where) for value in values]


def name_in(row: Row, column: str, known: Sequence[str], where: str) -> str:
    """The value of a column that must be one of the known names, in any case of letters."""
    given = str(need(row, column, where))
    found = next((name for name in known if name.lower() == given.strip().lower()), None)
    if found is None:
        hint = nearest(given, known) or f"; there is: {', '.join(known)}"
        raise InputError(f"{where}: '{column}' is {given[:60]!r}, which the suite does not have{hint}")
    return found


def carried(row: Row, *columns: str) -> dict[str, Any]:
    """The columns of a row that have a value, as JSON can hold them."""
    return {column: plain(row[column]) for column in columns if has(row, column)}


def check_alike(questions: Sequence[Question], column: str) -> None:
    """Raises InputError if some rows have a subset and others have none."""
    named = [bool(q.subset) for q in questions]
    if any(named) and not all(named):
        lacking = questions[named.index(False)]
        raise InputError(
            f"{lacking.where}: no '{column}', and other rows have one; give it in all rows, or in none"
        )


def is_equal(question: Question, scores: np.ndarray) -> bool:
    """True if a right answer and a wrong one have the same score."""
    right, wrong = scores[: question.n_right], scores[question.n_right :]
    return bool(np.isin(right, wrong).any())
