"""Copying: how much of a response was in its prompt already."""

from __future__ import annotations

import re

_WORD = re.compile(r"\w+")


def prompt_overlap(prompt: str, response: str) -> float:
    """Share of the response's words that occur in the prompt, 0 to 1; 0 for an empty response."""
    known = set(_WORD.findall(prompt.lower()))
    words = _WORD.findall(response.lower())
    return sum(word in known for word in words) / len(words) if words else 0.0
