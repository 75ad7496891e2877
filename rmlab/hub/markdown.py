"""Text from files as Markdown: a name in somebody's record is shown in a card, and never read as markup."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rmlab.errors import one_line

_LONGEST = 300  # characters of a value in a card
_MARKUP = re.compile(r"([\\`*_{}\[\]()#!|~$])")


def words(value: object) -> str:
    """The value as text on one line, with escapes before all that Markdown or HTML would act on."""
    text = _short(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"(https?|www)(?=[:.])", r"\1&#8203;", _MARKUP.sub(r"\\\1", text))


def code(value: object) -> str:
    """The value between backticks, in a table too; its own backticks become apostrophes, and its bars
    slashes."""
    return f"`{_short(value).replace('`', chr(39)).replace('|', '/') or ' '}`"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fenced(text: str, language: str = "") -> str:
    """A block of code, in a fence that nothing in it can close."""
    longest = max((len(found) for found in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _short(value: object) -> str:
    text = one_line(str(value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
