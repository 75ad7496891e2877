"""JudgeBench: which of two answers is correct, asked in both orders.

A verdict counts 1 for the correct answer, -1 for the other and 0 for neither; a pair is right if the sum over
both orders is above 0. A reward scores each answer by itself, so that its two verdicts agree, and equal
scores are wrong. Source: Tan et al. 2024 (arXiv 2410.12784) and its repository's utils/metrics.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rmlab.data.forms.base import has, need
from rmlab.data.prompts import content_id
from rmlab.data.reader import Row, check_text
from rmlab.models.text.rendering import Message
from rmlab.suites.base import (
    Line,
    Question,
    Scores,
    Suite,
    Tally,
    carried,
    name_in,
    one_text,
    term_of,
)

LABELS = ("A>B", "B>A")
SOURCES = {
    "knowledge": "mmlu-pro",
    "reasoning": "livebench-reasoning",
    "math": "livebench-math",
    "coding": "livecodebench",
}
_OTHER = "other"
_ALL = "all pairs"


def question(row: Row, number: int, where: str) -> Question:
    text = check_text(need(row, "question", where), "question", where)
    messages: list[Message] = [{"role": "user", "content": text}]
    answers = tuple(one_text(row, column, where) for column in ("response_A", "response_B"))
    label = name_in(row, "label", LABELS, where)
    source = str(row["source"]) if has(row, "source") else ""
    of = (name for name, start in SOURCES.items() if source.startswith(start))
    given = {**carried(row, "pair_id", "original_id", "source", "response_model"), "label": label}
    return Question(number, where, content_id(messages), next(of, _OTHER), messages, answers, 1, given)


def check(questions: Sequence[Question]) -> None:
    """Any pairs go together."""


def decision(a: float, b: float) -> str:
    """The verdict on two answers by their scores."""
    return "A=B" if a == b else LABELS[0] if a > b else LABELS[1]


def flipped(verdict: str | None) -> str | None:
    """The verdict on the same answers with their names exchanged."""
    return {LABELS[0]: LABELS[1], LABELS[1]: LABELS[0]}.get(str(verdict), verdict)


def is_right(label: str, first: str | None, second: str | None) -> bool:
    """True if two verdicts together prefer the correct answer.

    second: given with the answers in the other order; None: a judge gave no verdict.
    """
    both = (first, flipped(second))
    return sum((v == label) - (v == flipped(label)) for v in both) > 0


def verdicts(scores: np.ndarray) -> tuple[str, str]:
    """The verdicts of a reward in both orders."""
    a, b = map(float, scores)
    return decision(a, b), decision(b, a)


def measure(questions: Sequence[Question], scores: Scores) -> Tally:
    right = {k: is_right(q.given["label"], *verdicts(scores[k])) for k, q in enumerate(questions)}
    terms = {_ALL: term_of(right)}
    for name in (*SOURCES, _OTHER):
        if rows := [k for k, q in enumerate(questions) if q.subset == name]:
            terms[name] = term_of({k: right[k] for k in rows})
    lines = [Line(name, "subset", {name: 1.0}) for name in terms if name not in (_ALL, _OTHER)]
    n_other = len(terms[_OTHER].rows) if _OTHER in terms else 0
    notes = [f"{n_other} pairs of other sources count in the accuracy alone"] if n_other else []
    return Tally(terms, [*lines, Line("accuracy", "overall", {_ALL: 1.0})], notes)


def result(question: Question, scores: np.ndarray, judge: str) -> dict[str, Any]:
    """The pair with its judgments in both orders, as run_judge.py writes it."""
    a, b = map(float, scores)
    orders = zip(((a, b), (b, a)), verdicts(scores), strict=True)
    return {
        **question.given,
        "question": question.messages[0]["content"],
        "response_A": question.answers[0],
        "response_B": question.answers[1],
        "judge_name": "reward_model",
        "judgments": [
            {"judgment": {"judge_model": judge, "scores": list(pair)}, "decision": found}
            for pair, found in orders
        ],
    }


SUITE = Suite(
    "judgebench",
    "ScalerLab/JudgeBench",
    "gpt",
    "question, response_A, response_B, label, source",
    question,
    check,
    measure,
    result,
)
