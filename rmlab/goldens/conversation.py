"""Messages as one text, for rewards that read a prompt as text."""

from __future__ import annotations

from collections.abc import Sequence

from rmlab.text import Message


def conversation(messages: Sequence[Message]) -> str:
    """The content of a single message; several with their roles, a blank line between."""
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{m['role'].capitalize()}: {m['content']}" for m in messages)
