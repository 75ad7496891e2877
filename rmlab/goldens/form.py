"""Golden rewards by form: the length of a response, or its format."""

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
    """Scores the length of the response, or with a target -|length - target|."""

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
    """Scores whether a response has a format, 1 or 0, or counts matches of a pattern.

    kind: search, whether the pattern matches anywhere; fullmatch, whether it matches the whole response;
    json, whether the response is one JSON value; count, the number of non-overlapping matches. Patterns are
    regular expressions of Python, with flags as (?m), (?s) and (?i) at their start. fullmatch and json ignore
    space around the response.
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
    """Returns whether the text is JSON by the standard, without the NaN and Infinity that Python accepts."""
    try:
        json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> Any:
    """Raises ValueError for NaN and Infinity."""
    raise ValueError(constant)
