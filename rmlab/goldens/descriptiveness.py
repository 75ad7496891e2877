"""How descriptive a response is: the share of its words that are adjectives or adverbs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rmlab.compute import Compute
from rmlab.errors import RmlabError
from rmlab.goldens.base import Scorer
from rmlab.text import Exchange

Tagger = Callable[[str], Sequence[tuple[str, str]]]
_MODIFIERS = ("JJ", "RB")  # Penn tags: JJ JJR JJS, RB RBR RBS
_NEGATIONS = {"not", "n't"}  # tagged as adverbs


@dataclass(frozen=True)
class Descriptiveness:
    """(adjectives + adverbs) / max(words, min_words), in English; negations count as plain words.

    Parts of speech come from a lexicon with rules of context (the tagger of De Smedt and Daelemans 2012,
    "Pattern for Python", as TextBlob carries it), without a model. It measures how densely things are
    qualified: not whether nouns and verbs are vivid, nor whether the text is any good; a mere list of
    adjectives has the highest score.
    """

    name: ClassVar[str] = "descriptiveness"

    min_words: int = 10

    def __post_init__(self) -> None:
        if self.min_words < 1:
            raise ValueError(f"min_words is {self.min_words}: use at least 1")

    def open(self, compute: Compute) -> Scorer:
        tag = _tagger()

        def score(exchanges: Sequence[Exchange]) -> list[float]:
            return [self._score(tag(e.response)) for e in exchanges]

        return score

    def _score(self, tagged: Sequence[tuple[str, str]]) -> float:
        words = [(w.lower(), kind) for w, kind in tagged if any(c.isalnum() for c in w)]
        found = sum(1 for w, kind in words if kind.startswith(_MODIFIERS) and w not in _NEGATIONS)
        return found / max(len(words), self.min_words)


def _tagger() -> Tagger:
    try:
        from textblob.en import tag
    except ImportError:
        raise RmlabError(
            'golden=descriptiveness needs textblob; run: pip install "rmlab[descriptiveness]"'
        ) from None
    return lambda text: tag(text) if text.strip() else []
