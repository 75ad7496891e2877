"""Golden rewards by form: length in words, or a wanted format."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from rmlab.goldens.base import Scorer
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange


@dataclass(frozen=True)
class Length:
    """The length of the response, or with a target -|length - target|: 0 is best."""

    name: ClassVar[str] = "length"

    unit: Literal["words", "characters"] = "words"
    target: int | None = None

    def __post_init__(self) -> None:
        if self.target is not None and self.target < 0:
            raise ValueError(f"target is {self.target}: use a length >= 0, or null")

    def open(self, compute: Compute) -> Scorer:
        def score(exchanges: Sequence[Exchange]) -> list[float]:
            return [self._score(e.response) for e in exchanges]

        return score

    def _score(self, text: str) -> float:
        length = len(text.split() if self.unit == "words" else text)
        return float(length if self.target is None else -abs(length - self.target))


@dataclass(frozen=True)
class Format:
    """1 or 0 for search (somewhere), fullmatch (all of it) and json (all of it is one JSON value);
    for count the number of matches that do not overlap.

    Patterns are Python's; (?m), (?s) and (?i) at the start set its flags. Space around the response does
    not count for fullmatch and json.
    """

    name: ClassVar[str] = "format"

    kind: Literal["search", "fullmatch", "count", "json"] = "search"
    pattern: str | None = None

    def __post_init__(self) -> None:
        if (self.pattern is None) != (self.kind == "json"):
            need = "has no pattern: leave it null" if self.kind == "json" else "needs a pattern"
            raise ValueError(f"kind={self.kind} {need}")
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise ValueError(f"pattern {self.pattern!r} is no regular expression ({error})") from None

    def open(self, compute: Compute) -> Scorer:
        pattern = re.compile(self.pattern or "")

        def score(exchanges: Sequence[Exchange]) -> list[float]:
            return [float(self._score(pattern, e.response)) for e in exchanges]

        return score

    def _score(self, pattern: re.Pattern[str], text: str) -> int:
        if self.kind == "json":
            return _is_json(text)
        if self.kind == "count":
            return sum(1 for _ in pattern.finditer(text))
        if self.kind == "fullmatch":
            return pattern.fullmatch(text.strip()) is not None
        return pattern.search(text) is not None


def _is_json(text: str) -> bool:
    """By the standard, so without NaN and Infinity, which Python's reader takes too."""
    try:
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> Any:
    raise ValueError(constant)
