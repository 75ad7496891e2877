"""Demonstrations for SFT: `prompt` and `completion`, or `messages` that end with the assistant's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rmlab.data.messages import check_messages, conversation, prompt_messages
from rmlab.data.prompts import content_id, hash_share
from rmlab.data.reader import Row, need_text, read_rows
from rmlab.errors import InputError
from rmlab.text import Message


@dataclass(frozen=True)
class Demonstration:
    messages: list[Message]
    completion: str


def read_demonstrations(path: Path, n: int | None = None) -> list[Demonstration]:
    rows = [_demonstration(row, f"{path}, row {number}") for number, row in read_rows(path)]
    if n is None or n >= len(rows):
        return rows
    return sorted(rows, key=lambda d: hash_share(content_id(d.messages), "limit"))[:n]


def _demonstration(row: Row, where: str) -> Demonstration:
    if row.get("messages") not in (None, ""):
        messages = conversation(row["messages"], where)
        if len(messages) < 2 or messages[-1]["role"] != "assistant":
            raise InputError(f"{where}: 'messages' of a demonstration end with the assistant's")
        return Demonstration(messages[:-1], messages[-1]["content"])
    completion = row.get("completion")
    if isinstance(completion, list | tuple):
        answer = check_messages(list(completion), where)[-1]["content"]
        return Demonstration(prompt_messages(row, where), answer)
    return Demonstration(prompt_messages(row, where), need_text(row, "completion", where))
