"""The forms preference and hh: a chosen and a rejected answer.

Without `prompt`, the prompt is the beginning that chosen and rejected share, in messages or in characters, as
in TRL's extract_prompt. The scores are `score_chosen` and `score_rejected` if given, else 1 and 0.
"""

from __future__ import annotations

import re
from itertools import takewhile
from typing import Any

from rmlab.data.forms.base import (
    Answer,
    Item,
    UnusableRecord,
    answer_text,
    group_given,
    has,
    is_conversation,
    need,
    number,
    split_given,
)
from rmlab.data.messages import check_messages, is_text, prompt_messages
from rmlab.data.reader import Row, check_text
from rmlab.errors import InputError
from rmlab.models.text.rendering import Message

_SIDES = ("chosen", "rejected")
_SPEAKER = re.compile(r"(?:^|\n\n)(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def preference_item(row: Row, where: str) -> Item:
    """The item of a row with `chosen` and `rejected`, as text or as messages."""
    row = _without_repeats(row)
    chosen, rejected = (need(row, side, where) for side in _SIDES)
    if is_conversation(chosen) != is_conversation(rejected):
        kinds = ["messages" if is_conversation(x) else "text" for x in (chosen, rejected)]
        raise InputError(
            f"{where}: 'chosen' is {kinds[0]} and 'rejected' is {kinds[1]}; give both the same form"
        )
    explicit = has(row, "prompt") or has(row, "messages")
    if is_conversation(chosen):
        messages, texts = _of_messages(row, chosen, rejected, explicit, where)
    elif explicit:
        messages = prompt_messages(row, where)
        texts = [
            check_text(x, side, where, blank=True) for side, x in zip(_SIDES, (chosen, rejected), strict=True)
        ]
    else:
        messages, texts = _of_text(chosen, rejected, where)
    answers = tuple(Answer(text, score) for text, score in zip(texts, _scores(row, where), strict=True))
    plain = not is_conversation(chosen) and is_text(row)
    return Item(messages, answers, group_given(row, where), split_given(row), is_text=plain)


def _without_repeats(row: Row) -> Row:
    """The row without `messages` if these only repeat one of the two conversations, as in some sets."""
    messages = row.get("messages")
    if is_conversation(messages) and any(messages == row.get(side) for side in _SIDES):
        return {c: value for c, value in row.items() if c != "messages"}
    return row


def _of_messages(
    row: Row, chosen: Any, rejected: Any, explicit: bool, where: str
) -> tuple[list[Message], list[str]]:
    sides = [check_messages(list(side), where, blank=True) for side in (chosen, rejected)]
    if explicit and not _repeats_prompt(row, sides, where):
        prompt = prompt_messages(row, where)
        sides = [[*prompt, *side] for side in sides]
    cut = min(len(shared_messages(*sides)), *(len(side) - 1 for side in sides))
    if cut <= 0:
        raise InputError(f"{where}: 'chosen' and 'rejected' share no prompt; give it as 'prompt'")
    if any(len(side) - cut != 1 for side in sides):
        raise UnusableRecord(where, "its two conversations part before the last answer")
    texts = [answer_text(side[cut:], name, where) for name, side in zip(_SIDES, sides, strict=True)]
    return prompt_messages({"messages": sides[0][:cut]}, where), texts


def _repeats_prompt(row: Row, sides: list[list[Message]], where: str) -> bool:
    """True if both conversations begin with the prompt of the row, as in many sets."""
    shared = shared_messages(*sides)
    if is_text(row):
        return any(m["role"] == "user" and m["content"] == row["prompt"] for m in shared)
    prompt = prompt_messages(row, where)
    return shared[: len(prompt)] == prompt


def shared_messages(chosen: list[Message], rejected: list[Message]) -> list[Message]:
    return [a for a, _ in takewhile(lambda p: p[0] == p[1], zip(chosen, rejected, strict=False))]


def _of_text(chosen: Any, rejected: Any, where: str) -> tuple[list[Message], list[str]]:
    texts = [check_text(x, side, where) for side, x in zip(_SIDES, (chosen, rejected), strict=True)]
    if texts[0] == texts[1]:
        raise UnusableRecord(where, "two of its answers are the same text")
    cut = len(list(takewhile(lambda p: p[0] == p[1], zip(*texts, strict=False))))
    cut -= cut > 0 and texts[0][cut - 1] == " "  # the answers keep the space before them
    if not texts[0][:cut].strip():
        raise InputError(f"{where}: no 'prompt', and 'chosen' and 'rejected' begin with no shared text")
    return [{"role": "user", "content": texts[0][:cut]}], [text[cut:] for text in texts]


def _scores(row: Row, where: str) -> tuple[float, float]:
    given = [f"score_{side}" for side in _SIDES]
    if not any(has(row, column) for column in given):
        return 1.0, 0.0
    chosen, rejected = (number(row.get(column), column, where) for column in given)
    if chosen < rejected:
        raise UnusableRecord(where, "its score_chosen is below its score_rejected")
    return chosen, rejected


def hh_item(row: Row, where: str) -> Item:
    """The item of a row whose `chosen` and `rejected` are dialogues of Human: and Assistant:."""
    chosen, rejected = (_dialogue(row, column, where) for column in ("chosen", "rejected"))
    if chosen[:-1] != rejected[:-1]:
        raise UnusableRecord(where, "its two dialogues part before the last answer")
    prompt = chosen[:-1]
    answers = (Answer(chosen[-1]["content"], 1.0), Answer(rejected[-1]["content"], 0.0))
    return Item(prompt, answers, group_given(row, where), split_given(row))


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
        raise UnusableRecord(where, f"'{column}' ends with Human:, not with an answer of the Assistant:")
    if any(not m["content"] for m in messages[:-1]):
        raise UnusableRecord(where, f"a turn before the last of '{column}' is empty")
    return messages
