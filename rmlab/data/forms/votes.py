"""votes: pairs that several annotators answered. `prompt`, `response_a`, `response_b`, and one of

- `votes`: a list with one vote an annotator;
- `votes_a`, `votes_b` and, where there were any, `votes_tie`: how many voted so;
- columns `annotator_...` but annotator_id, one an annotator, empty where they did not answer.

A vote is "a", "b" or "tie"; or, as an index of the preferred answer, 0 for a and 1 for b.
score = share of the votes; a tie vote is half a vote for each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rmlab.data.forms.fields import answer_text, has, listed, need, number
from rmlab.data.forms.item import Answer, Item, Unusable, group_of, split_given
from rmlab.data.messages import is_text, prompt_messages
from rmlab.data.reader import Row
from rmlab.errors import InputError

ANNOTATOR = "annotator_"
_MOST_VOTES = 1e9
_SHARE = {"a": 1.0, "0": 1.0, "b": 0.0, "1": 0.0, "tie": 0.5}  # of a vote, that answer a gets


def votes_item(row: Row, where: str) -> Item:
    messages = prompt_messages(row, where)
    texts = [answer_text(need(row, c, where), c, where) for c in ("response_a", "response_b")]
    for_a, n = _counted(row, where)
    if n == 0:
        raise Unusable(where, "nobody voted")
    answers = (Answer(texts[0], for_a / n), Answer(texts[1], (n - for_a) / n))
    return Item(messages, answers, group_of(row, messages, where), split_given(row), is_text=is_text(row))


def annotators(row: Row) -> list[str]:
    """The columns with the vote of one annotator each; annotator_id says who it was."""
    return [c for c in row if c.startswith(ANNOTATOR) and c != f"{ANNOTATOR}id"]


def _counted(row: Row, where: str) -> tuple[float, float]:
    """(votes for a, votes)"""
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
        if isinstance(vote, float) and math.isnan(vote):  # a table with gaps has no integers
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
