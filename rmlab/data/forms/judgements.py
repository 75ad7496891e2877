"""The forms ranking, scored, unpaired and votes: answers with ranks, scores, labels or votes.

A rank of 1 is the best, equal ranks are ties, and the score is minus the rank. Of scores, higher is better.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from rmlab.data.forms.base import (
    Answer,
    Item,
    UnusableRecord,
    answer_text,
    group_given,
    has,
    is_conversation,
    listed,
    need,
    number,
    same_length,
    split_given,
)
from rmlab.data.messages import is_text, prompt_messages
from rmlab.data.prompts import content_id
from rmlab.data.reader import Row, name_text
from rmlab.errors import InputError
from rmlab.storage.digest import row_id


def ranking_item(row: Row, where: str) -> Item:
    """The item of a row with several responses and their ranks or scores."""
    messages = prompt_messages(row, where)
    column = "responses" if has(row, "responses") else "completions"
    responses = listed(row, column, where)
    if has(row, "ranks") == has(row, "scores"):
        raise InputError(
            f"{where}: give 'ranks' (1 is the best) or 'scores' (higher is better), one of the two"
        )
    order, sign = ("ranks", -1.0) if has(row, "ranks") else ("scores", 1.0)
    values = listed(row, order, where)
    same_length(where, **{column: responses, order: values})
    if len(responses) < 2:
        raise InputError(f"{where}: '{column}' has {len(responses)} entries; a ranking needs 2 or more")
    answers = tuple(
        Answer(answer_text(text, column, where), sign * number(value, order, where))
        for text, value in zip(responses, values, strict=True)
    )
    return Item(messages, answers, group_given(row, where), split_given(row), is_text=is_text(row))


def scored_item(row: Row, where: str, column: str = "score") -> Item:
    """The item of a row with one response and its score."""
    messages = prompt_messages(row, where)
    prompt_id = given_id(row, "prompt_id", where) or content_id(messages)
    text = response_text(row, where, "drop") or ""
    answer = Answer(text, score_of(row, column, where), given_id(row, "response_id", where))
    return Item(messages, (answer,), group_given(row, where), split_given(row), prompt_id, is_text(row))


def response_text(row: Row, where: str, unusable: str) -> str | None:
    """The response; a blank one is an error, or None with unusable=drop."""
    text = answer_text(need(row, "response", where), "response", where)
    if not is_blank(text):
        return text
    if unusable == "drop":
        return None
    raise InputError(f"{where}: 'response' is empty; mend it, or leave such rows out with unusable=drop")


def is_blank(response: Any) -> bool:
    """True for an answer without text, whether it is given as text or as a message."""
    if isinstance(response, list | tuple) and len(response) == 1 and isinstance(response[0], dict):
        response = response[0].get("content")
    return isinstance(response, str) and not response.strip()


def score_of(row: Row, column: str, where: str) -> float:
    """The score; NaN means that the reward failed on this response, and no value is an error."""
    value = row.get(column)
    if value is None:
        raise InputError(f"{where}: no '{column}'; name the score's column with golden.file.column=...")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: '{column}' is {value!r}, not a number") from None


def given_id(row: Row, column: str, where: str) -> str | None:
    """An id as text, or None; an empty field of a CSV file is None."""
    return name_text(row[column], column, where) if has(row, column) else None


class AnswerIds:
    """Ids for responses without one: a hash of prompt, text and the number of equal ones before.

    Reading the rows of a file in order gives the same ids every time.
    """

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def next(self, prompt_id: str, text: str) -> str:
        name = row_id("answer", prompt_id, text)
        self._seen[name] += 1
        return name if self._seen[name] == 1 else row_id(name, self._seen[name])


_LABELS = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0}


def unpaired_item(row: Row, where: str) -> Item:
    """The item of a row with one completion and the label true or false."""
    messages = prompt_messages(row, where)
    completion = need(row, "completion", where)
    text = answer_text(completion, "completion", where)
    answer = Answer(text, _label(need(row, "label", where), where))
    plain = is_text(row) and not is_conversation(completion)
    group = group_given(row, where)
    return Item(messages, (answer,), group, split_given(row), content_id(messages), plain)


def _label(value: Any, where: str) -> float:
    """The label as 1 or 0; JSON and Parquet have Booleans, CSV files text."""
    name = str(value).strip().lower()
    if name not in _LABELS:
        raise InputError(f"{where}: 'label' is {value!r}; write true or false")
    return _LABELS[name]


ANNOTATOR = "annotator_"
_MOST_VOTES = 1e9
_SHARE = {"a": 1.0, "0": 1.0, "b": 0.0, "1": 0.0, "tie": 0.5}  # share of a vote that answer a gets


def votes_item(row: Row, where: str) -> Item:
    """The item of a row with two responses and the votes of annotators for each."""
    messages = prompt_messages(row, where)
    texts = [answer_text(need(row, c, where), c, where) for c in ("response_a", "response_b")]
    for_a, n = _counted(row, where)
    if n == 0:
        raise UnusableRecord(where, "nobody voted")
    answers = (Answer(texts[0], for_a / n), Answer(texts[1], (n - for_a) / n))
    return Item(messages, answers, group_given(row, where), split_given(row), is_text=is_text(row))


def annotators(row: Row) -> list[str]:
    """The columns that hold one annotator's vote each; annotator_id is not one of them."""
    return [c for c in row if c.startswith(ANNOTATOR) and c != f"{ANNOTATOR}id"]


def _counted(row: Row, where: str) -> tuple[float, float]:
    """(votes for a, all votes)"""
    if has(row, "votes"):
        return _sum("votes", listed(row, "votes", where), where)
    voted = annotators(row)
    if voted and not has(row, "votes_a"):
        return _sum(f"{ANNOTATOR}...", [row[c] for c in voted if has(row, c)], where)
    for_a, for_b = (_count(need(row, c, where), c, where) for c in ("votes_a", "votes_b"))
    ties = _count(row["votes_tie"], "votes_tie", where) if has(row, "votes_tie") else 0.0
    return for_a + ties / 2, for_a + for_b + ties


def _sum(column: str, votes: Sequence[Any], where: str) -> tuple[float, float]:
    shares = []
    for vote in votes:
        if isinstance(vote, float) and math.isnan(vote):  # a missing vote
            continue
        name = f"{vote:g}" if isinstance(vote, float) else str(vote).strip().lower()
        if name not in _SHARE:
            raise InputError(f"{where}: '{column}' has the vote {vote!r}; a vote is a, b or tie, or 0 or 1")
        shares.append(_SHARE[name])
    return math.fsum(shares), float(len(shares))


def _count(value: Any, column: str, where: str) -> float:
    found = number(value, column, where)
    if not 0 <= found <= _MOST_VOTES or found != int(found):
        raise InputError(f"{where}: '{column}' has {value!r}, not a number of votes")
    return found
