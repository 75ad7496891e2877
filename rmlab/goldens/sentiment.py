"""Positive sentiment of the response: VADER's compound score (Hutto and Gilbert 2014), -1 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rmlab.compute import Compute
from rmlab.errors import RmlabError
from rmlab.goldens.base import Scorer
from rmlab.text import Exchange


@dataclass(frozen=True)
class Sentiment:
    name: ClassVar[str] = "sentiment"

    def open(self, compute: Compute) -> Scorer:
        try:
            from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
        except ImportError:
            raise RmlabError(
                'golden=sentiment needs vaderSentiment; run: pip install "rmlab[sentiment]"'
            ) from None
        analyzer = SentimentIntensityAnalyzer()

        def score(exchanges: Sequence[Exchange]) -> list[float]:
            return [analyzer.polarity_scores(e.response)["compound"] for e in exchanges]

        return score
