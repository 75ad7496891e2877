"""unpaired: TRL's rows of `prompt`, `completion` and `label` (true: a good answer).

The rows of one prompt are one item, with scores 1 and 0: answers with the same label tie.
"""

from __future__ import annotations

from typing import Any

from rmlab.data.forms.fields import answer_text, is_conversation, need
from rmlab.data.forms.item import Answer, Item, group_of, split_given
from rmlab.data.messages import is_text, prompt_messages
from rmlab.data.prompts import content_id
from rmlab.data.reader import Row
from rmlab.errors import InputError

_LABELS = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0}


def unpaired_item(row: Row, where: str) -> Item:
    """The item with the answer of this row alone."""
    messages = prompt_messages(row, where)
    completion = need(row, "completion", where)
    text = answer_text(completion, "completion", where)
    answer = Answer(text, _label(need(row, "label", where), where))
    plain = is_text(row) and not is_conversation(completion)
    group = group_of(row, messages, where)
    return Item(messages, (answer,), group, split_given(row), content_id(messages), plain)


def _label(value: Any, where: str) -> float:
    """JSON and Parquet have true and false, CSV files their names."""
    name = str(value).strip().lower()
    if name not in _LABELS:
        raise InputError(f"{where}: 'label' is {value!r}; write true or false")
    return _LABELS[name]
