"""Prompts as messages: `prompt` (text or messages) or `messages`, as TRL's data formats have them."""

from __future__ import annotations

import json
from typing import Any

from rmlab.data.reader import Row, check_text, need_text
from rmlab.errors import InputError
from rmlab.text import Message

_ROLES = ("system", "user", "assistant")


def prompt_messages(row: Row, where: str) -> list[Message]:
    """The conversation that a response would answer."""
    value = row.get("messages") if row.get("messages") is not None else row.get("prompt")
    if isinstance(value, str) and row.get("messages") is not None:
        value = _from_json(value, where)
    if isinstance(value, list | tuple):
        messages = check_messages(list(value), where)
        if messages[-1]["role"] == "assistant":
            raise InputError(f"{where}: the last message is the assistant's; a prompt ends with the user's")
        return messages
    return [{"role": "user", "content": need_text(row, "prompt", where)}]


def _from_json(text: str, where: str) -> Any:
    """CSV files hold messages as JSON text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: 'messages' is not JSON ({error})") from None


def check_messages(messages: list[Any], where: str) -> list[Message]:
    if not messages:
        raise InputError(f"{where}: 'messages' is empty")
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise InputError(f"{where}: each message needs a role ({', '.join(_ROLES)}) and content")
        check_text(message.get("content"), "content", where)
    return [{"role": m["role"], "content": m["content"]} for m in messages]
