"""Answers of a server that are no scores: which of them may pass, when to try again, and what to tell."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rmlab.errors import InputError

_FIRST, _LONGEST, _LONGEST_ASKED = 0.5, 30.0, 120.0  # seconds


class RewardServerError(InputError):
    """A reward server did not give scores. status: that of its last answer, None if there was none."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Failure:
    """A try that gave no scores. wait: seconds that the server asks to wait, if it does."""

    reason: str
    status: int | None = None
    wait: float | None = None

    @property
    def may_pass(self) -> bool:
        """Tells whether the same request may be answered later; not if the fault is its own."""
        return self.status is None or self.status >= 500

    def delay(self, tries: int) -> float:
        """The seconds to wait after so many tries."""
        if self.wait is not None:
            return min(self.wait, _LONGEST_ASKED) * random.uniform(1.0, 1.2)
        return min(_FIRST * 2 ** (tries - 1), _LONGEST) * random.uniform(0.5, 1.0)

    def error(self, url: str, tries: int) -> RewardServerError:
        times = "" if tries == 1 else f" after {tries} tries"
        return RewardServerError(f"the reward server {url} gave no scores{times}: {self.reason}", self.status)


def refused(status: int, headers: Mapping[str, str], body: Any) -> Failure:
    """The failure that a response with an error tells of."""
    error = body.get("error") if isinstance(body, dict) else None
    said = error.get("message") if isinstance(error, dict) else None
    asked = headers.get("retry-after", "")
    wait = float(asked) if asked.isdecimal() else None
    return Failure(f"{status}, {said or 'without a reason'}", status, wait)


def checked_scores(body: Any, n: int) -> list[float] | Failure:
    """The n scores of a response, or what is wrong with it."""
    scores = body.get("scores") if isinstance(body, dict) else None
    if not isinstance(scores, list) or len(scores) != n:
        return Failure(f"its response has no {n} scores; is it a server that `rmlab serve` started?", 502)
    if not all(isinstance(s, float | int) and not isinstance(s, bool) and math.isfinite(s) for s in scores):
        return Failure("its response has scores that are no numbers", 502)
    return [float(score) for score in scores]
