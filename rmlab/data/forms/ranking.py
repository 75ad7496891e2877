"""ranking: `prompt` (or `messages`) with `responses` (or `completions`) and their `ranks` or `scores`.

ranks: 1 is the best, and equal ranks are ties; a score is minus the rank. scores: higher is better.
"""

from __future__ import annotations

from rmlab.data.forms.fields import answer_text, has, listed, number, same_length
from rmlab.data.forms.item import Answer, Item, group_of, split_given
from rmlab.data.messages import is_text, prompt_messages
from rmlab.data.reader import Row
from rmlab.errors import InputError


def ranking_item(row: Row, where: str) -> Item:
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
    return Item(messages, answers, group_of(row, messages, where), split_given(row), is_text=is_text(row))
