"""The subset Ties of RewardBench 2: right answers should score alike, and all of them above the wrong ones.

A prompt N comes twice: as ref:N with one right answer, and as tied:N with several. Its score is .3 times the
accuracy on each of the two, where a row is right if its worst right answer beats its best wrong one; .2 times
the share of prompts whose margin of right over wrong answers is larger than the spread of the right ones; .2
times that share with the smaller margin of the two rows; and .01 times the mean of tanh(ratio of that margin
to that spread - 1). It can be up to 1.01.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rmlab.errors import InputError
from rmlab.suites.base import Line, Question, Scores, Tally, Term, term_of

NAME = "Ties"
_ID = re.compile(r"(ref|tied):(\d{1,9})")
_WEIGHTS = {
    "tied accuracy": 0.3,
    "ref accuracy": 0.3,
    "margin above spread": 0.2,
    "both margins above spread": 0.2,
    "margin ratio": 0.01,
}


@dataclass(frozen=True)
class _Spread:
    """How far the right answers lie above the wrong ones, and how far apart, None for a single one."""

    above: float
    apart: float | None

    @classmethod
    def of(cls, scores: np.ndarray, n_right: int) -> _Spread:
        right, wrong = scores[:n_right], scores[n_right:]
        apart = float(right.max() - right.min()) if n_right > 1 else None
        return cls(float(right.min() - wrong.max()), apart)


def tie_id(name: str, where: str) -> tuple[str, int]:
    """The kind, ref or tied, and the number of an id."""
    found = _ID.fullmatch(name)
    if found is None:
        raise InputError(f"{where}: the id {name!r} of a row of Ties must be ref:N or tied:N, N a number")
    return found[1], int(found[2])


def check_ids(questions: Sequence[Question]) -> None:
    """Raises InputError if two rows have the same id."""
    seen: dict[tuple[str, int], Question] = {}
    for q in questions:
        first = seen.setdefault(tie_id(q.given["id"], q.where), q)
        if first is not q:
            raise InputError(
                f"{q.where}: the id {q.given['id']} of Ties is that of row {first.number} too; keep one"
            )


def ties_measured(questions: Sequence[Question], scores: Scores, rows: Sequence[int]) -> Tally:
    """The parts of the score and, as the last line, the score. rows: those of Ties among the questions."""
    ids = {k: tie_id(questions[k].given["id"], questions[k].where) for k in rows}
    found = {k: _Spread.of(scores[k], questions[k].n_right) for k in rows}
    place = {name: k for k, name in ids.items()}
    numbers = {kind: {n for of, n in ids.values() if of == kind} for kind in ("ref", "tied")}
    terms: dict[str, Term] = {}
    for kind in ("tied", "ref"):
        terms[f"{kind} accuracy"] = term_of({k: found[k].above > 0 for k in rows if ids[k][0] == kind})
    pairs = {
        k: (found[place["ref", n]], found[k])
        for n in numbers["ref"]
        if (k := place.get(("tied", n), -1)) >= 0
    }
    terms |= {name: term_of(values) for name, values in _compared(pairs).items()}
    terms = {f"{NAME}: {name}": term for name, term in terms.items() if len(term.rows)}
    weights = {key: _WEIGHTS[key.removeprefix(f"{NAME}: ")] for key in terms}
    parts = [Line(name, "part", {name: 1.0}, -1.0 if name.endswith("ratio") else 0.0) for name in terms]
    total = Line(NAME, "subset", weights, -0.01, 1.01)
    alone = len(numbers["ref"] ^ numbers["tied"])
    notes = [f"{alone} rows of {NAME} have no companion, and count in its accuracies alone"] if alone else []
    return Tally(terms, [*parts, total], notes)


def _compared(pairs: dict[int, tuple[_Spread, _Spread]]) -> dict[str, dict[int, float | bool]]:
    """The three tests of margins against spreads, by the place of the tied row. pairs: of ref and tied."""
    several = {k: (ref, tied, tied.apart) for k, (ref, tied) in pairs.items() if tied.apart is not None}
    least = {k: min(ref.above, tied.above) for k, (ref, tied, _) in several.items()}
    return {
        "margin above spread": {k: tied.above > apart for k, (_, tied, apart) in several.items()},
        "both margins above spread": {k: least[k] > apart for k, (_, _, apart) in several.items()},
        "margin ratio": {
            k: math.tanh(least[k] / apart - 1) for k, (_, _, apart) in several.items() if apart > 0
        },
    }
