"""An item: a prompt with scored answers; the scores order the answers as the annotators did."""

from __future__ import annotations

from dataclasses import dataclass

from rmlab.data.prompts import turn_id
from rmlab.data.reader import Row, name_text
from rmlab.errors import InputError
from rmlab.text import Message


class Unusable(InputError):
    """A record that is well formed and yet tells nothing, such as a preference between equal texts."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.reason = reason


@dataclass(frozen=True)
class Answer:
    """Equal scores are a tie. response_id: where the file gives one."""

    text: str
    score: float
    response_id: str | None = None


@dataclass(frozen=True)
class Item:
    """group: items of one group are never split apart. split: as the file gives it. is_text: its prompt was
    text, not messages. prompt_id: where the file, or what reads it, gives one."""

    messages: list[Message]
    answers: tuple[Answer, ...]
    group: str
    split: str | None = None
    prompt_id: str | None = None
    is_text: bool = False
    number: int = 0
    where: str = ""


def group_of(row: Row, messages: list[Message], where: str) -> str:
    """The group that the row gives, else the first of the user's messages, as the id of a prompt like it."""
    given = row.get("group")
    if given is not None and given != "":
        return name_text(given, "group", where)
    return turn_id(messages)


def split_given(row: Row) -> str | None:
    value = row.get("split")
    return None if value is None or value == "" else str(value)
