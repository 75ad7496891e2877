"""Names of special tokens in what people and models wrote, such as "</s>": text, never the token.

A tokenizer reads such a name as the token wherever it stands. So a text is taken apart inside each name,
after its first character, and the pieces are tokenised one by one: none of them holds a whole name.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Any


def special_names(tokenizer: Any) -> re.Pattern[str] | None:
    """Matches the first character of every special token's name; None: the tokenizer has no such token."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    return _first_characters(tuple(t.content for t in added if t.special and len(t.content) > 1))


@lru_cache(maxsize=64)
def _first_characters(names: tuple[str, ...]) -> re.Pattern[str] | None:
    if not names:
        return None
    firsts = "".join(sorted({re.escape(name[0]) for name in names}))  # tried first: names may be thousands
    return re.compile(f"(?=[{firsts}])(?={'|'.join(map(re.escape, names))}).", re.DOTALL)


def breaks_in(text: str, names: re.Pattern[str] | None) -> tuple[int, ...]:
    """Where to take the text apart."""
    return tuple(m.end() for m in names.finditer(text)) if names else ()


def apart(text: str, breaks: tuple[int, ...]) -> list[str]:
    """The pieces of the text, at least one; joined they are the text."""
    return [text[a:b] for a, b in pairwise((0, *breaks, len(text)))]
