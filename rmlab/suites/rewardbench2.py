"""RewardBench 2: one right answer among several; a row counts 1/k if the right one shares the maximum with k.

The subset Ties has prompts with several right answers, each with a companion that has one:
`rmlab/suites/ties.py` scores it. The overall score is the mean of the six subsets. Source: Malik et al. 2025
(arXiv 2506.01937) and the package rewardbench.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rmlab.data.forms.base import has, need
from rmlab.data.messages import prompt_messages
from rmlab.data.prompts import content_id
from rmlab.data.reader import Row, name_text
from rmlab.errors import InputError
from rmlab.suites.base import (
    Line,
    Question,
    Scores,
    Suite,
    Tally,
    Term,
    mean_of,
    name_in,
    term_of,
    texts_of,
)
from rmlab.suites.ties import NAME as TIES
from rmlab.suites.ties import check_ids, tie_id, ties_measured

SUBSETS = ("Factuality", "Precise IF", "Math", "Safety", "Focus", TIES)


def question(row: Row, number: int, where: str) -> Question:
    messages = prompt_messages(row, where)
    right, wrong = (texts_of(row, column, where) for column in ("chosen", "rejected"))
    _check_count(row, "num_correct", len(right), "'chosen' has", where)
    _check_count(row, "total_completions", len(right) + len(wrong), "'chosen' and 'rejected' have", where)
    subset = name_in(row, "subset", SUBSETS, where)
    name = name_text(need(row, "id", where), "id", where)
    unit = f"{TIES} {tie_id(name, where)[1]}" if subset == TIES else content_id(messages)
    given = {"id": name, "num_correct": len(right), "total_completions": len(right) + len(wrong)}
    return Question(number, where, unit, subset, messages, (*right, *wrong), len(right), given)


def _check_count(row: Row, column: str, n: int, what: str, where: str) -> None:
    """Raises InputError if the row gives another number of answers than it has."""
    if not has(row, column):
        return
    try:
        given = float(row[column])
    except (TypeError, ValueError):
        given = float("nan")
    if isinstance(row[column], bool) or given != n:
        raise InputError(f"{where}: '{column}' is {row[column]!r}, but {what} {n} answers; mend one of them")


def check(questions: Sequence[Question]) -> None:
    check_ids([q for q in questions if q.subset == TIES])


def share_of_winner(scores: np.ndarray) -> float:
    """1/k if the first answer has the largest score together with k - 1 others, else 0."""
    best = scores.max()
    return 1.0 / float((scores == best).sum()) if scores[0] == best else 0.0


def measure(questions: Sequence[Question], scores: Scores) -> Tally:
    terms: dict[str, Term] = {}
    lines: list[Line] = []
    subsets: list[Line] = []
    notes: list[str] = []
    for name in SUBSETS:
        rows = [k for k, q in enumerate(questions) if q.subset == name]
        if not rows:
            continue
        if name == TIES:
            found = ties_measured(questions, scores, rows)
            terms |= found.terms
            lines += found.lines
            notes += found.notes
            subsets.append(found.lines[-1])
            continue
        terms[name] = term_of({k: share_of_winner(scores[k]) for k in rows})
        subsets.append(Line(name, "subset", {name: 1.0}))
        lines.append(subsets[-1])
    if lacking := [name for name in SUBSETS if name not in {line.name for line in subsets}]:
        notes.append(f"no rows of the subsets {', '.join(lacking)}")
    return Tally(terms, [*lines, mean_of(subsets, "score", "overall")], notes)


def result(question: Question, scores: np.ndarray, judge: str) -> dict[str, Any]:
    """A row as run_v2.py of `rewardbench` has it, with conversations in the place of rendered texts."""
    return {
        "prompt": question.prompt,
        "text": [question.conversation(k) for k in range(len(question.answers))],
        "scores": scores.tolist(),
        "results": share_of_winner(scores),
        "subset": question.subset,
        **question.given,
    }


SUITE = Suite(
    "rewardbench2",
    "allenai/reward-bench-2",
    "test",
    "id, prompt, chosen, rejected, num_correct, total_completions, subset",
    question,
    check,
    measure,
    result,
)
