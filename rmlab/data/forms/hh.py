"""hh: `chosen` and `rejected` as whole dialogues in Human/Assistant text, as hh-rlhf has them.

The dialogues are the same but for the last answer: what they share is the prompt. Turns in a row of one
speaker are one message. An empty answer is kept: that is what the annotators saw.
"""

from __future__ import annotations

import re

from rmlab.data.forms.fields import need
from rmlab.data.forms.item import Answer, Item, Unusable, group_of, split_given
from rmlab.data.reader import Row, check_text
from rmlab.errors import InputError
from rmlab.text import Message

_SPEAKER = re.compile(r"(?:^|\n\n)(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def hh_item(row: Row, where: str) -> Item:
    chosen, rejected = (_dialogue(row, column, where) for column in ("chosen", "rejected"))
    if chosen[:-1] != rejected[:-1]:
        raise Unusable(where, "its two dialogues part before the last answer")
    prompt = chosen[:-1]
    answers = (Answer(chosen[-1]["content"], 1.0), Answer(rejected[-1]["content"], 0.0))
    return Item(prompt, answers, group_of(row, prompt, where), split_given(row))


def is_dialogue(value: object) -> bool:
    return isinstance(value, str) and value.lstrip().startswith("Human:") and "\n\nAssistant:" in value


def _dialogue(row: Row, column: str, where: str) -> list[Message]:
    text = check_text(need(row, column, where), column, where)
    before, *pieces = _SPEAKER.split(text.lstrip("\n"))
    if before.strip() or not pieces or pieces[0] != "Human":
        raise InputError(
            f"{where}: '{column}' does not begin with Human:; name the file's form with form=..."
        )
    turns: list[tuple[str, list[str]]] = []
    for speaker, said in zip(pieces[::2], pieces[1::2], strict=True):
        if not turns or turns[-1][0] != _ROLES[speaker]:
            turns.append((_ROLES[speaker], []))
        if content := said.strip():
            turns[-1][1].append(content)
    messages: list[Message] = [{"role": role, "content": "\n\n".join(parts)} for role, parts in turns]
    if messages[-1]["role"] != "assistant":
        raise Unusable(where, f"'{column}' ends with Human:, not with an answer of the Assistant:")
    if any(not m["content"] for m in messages[:-1]):
        raise Unusable(where, f"a turn before the last of '{column}' is empty")
    return messages
