"""Reads prompts as messages, from `prompt` (text or messages) or `messages`, as in TRL's data formats."""

from __future__ import annotations

from typing import Any

from rmlab.data.reader import Row, check_text, need_text
from rmlab.errors import InputError
from rmlab.models.text.rendering import Message
from rmlab.storage.files import parse_json

_ROLES = ("system", "user", "assistant")


def prompt_messages(row: Row, where: str) -> list[Message]:
    """The conversation that a response answers. If a row has both columns, the prompt must be in the
    messages."""
    prompt = row.get("prompt")
    if is_text(row):
        return [{"role": "user", "content": need_text(row, "prompt", where)}]
    if not _is_given(row, "messages"):
        return _prompt(prompt, where)
    messages = _prompt(row["messages"], where)
    if _is_given(row, "prompt") and not _agree(prompt, messages, where):
        raise InputError(f"{where}: its 'prompt' is not in its 'messages'; keep one of the two")
    return messages


def is_text(row: Row) -> bool:
    """True if the prompt is given as text, not as messages."""
    return not _is_given(row, "messages") and not isinstance(row.get("prompt"), list | tuple)


def _is_given(row: Row, column: str) -> bool:
    """True unless the row has no value there; in a CSV file that is an empty field."""
    return row.get(column) not in (None, "")


def _agree(prompt: Any, messages: list[Message], where: str) -> bool:
    """True if the prompt is the messages, or the text of a user message: many sets repeat the question."""
    if isinstance(prompt, list | tuple):
        return check_messages(list(prompt), where) == messages
    return any(m["role"] == "user" and m["content"] == prompt for m in messages)


def conversation(value: Any, where: str) -> list[Message]:
    """Messages that are given as a list or as JSON text."""
    value = _from_json(value, where)
    if not isinstance(value, list | tuple):
        raise InputError(f"{where}: 'messages' must be a list of messages, got {type(value).__name__}")
    return check_messages(list(value), where)


def _prompt(value: Any, where: str) -> list[Message]:
    messages = conversation(value, where)
    if messages[-1]["role"] == "assistant":
        raise InputError(f"{where}: the last message is the assistant's; a prompt ends with the user's")
    return messages


def _from_json(value: Any, where: str) -> Any:
    """Parses messages that are JSON text, as in CSV files."""
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except ValueError as error:
        raise InputError(f"{where}: 'messages' is not JSON ({error})") from None


def check_messages(messages: list[Any], where: str, blank: bool = False) -> list[Message]:
    if not messages:
        raise InputError(f"{where}: 'messages' is empty")
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise InputError(f"{where}: each message needs a role ({', '.join(_ROLES)}) and content")
        check_text(message.get("content"), "content", where, blank)
    return [{"role": m["role"], "content": m["content"]} for m in messages]
