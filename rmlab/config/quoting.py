"""Writes overrides: the one place where the text of a key and its values is composed."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"(\.{0,2}/)?[A-Za-z_][A-Za-z0-9_./+-]*", re.ASCII)
_WORDS = {"null", "true", "false", "nan", "inf"}  # which the grammar of overrides reads as values


def override(key: str, *values: str) -> str:
    """The override that gives a setting this text; of several values an axis of a grid."""
    return f"{key}={','.join(map(quoted, values))}"


def quoted(text: str) -> str:
    """A value as it is written in an override: as it is if it is plain ASCII, else in quotes.

    Within quotes `${` would still begin a reference to another setting, unless a backslash is before it.
    """
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return in_quotes(re.sub(r"(\\*)\$\{", r"\1\1\\${", text))


def in_quotes(text: str) -> str:
    """The text between quotes; backslashes count only before a quote."""
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text)
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"
