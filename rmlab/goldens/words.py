"""Golden rewards by word lists: sentiment, offensive language, descriptiveness."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from rmlab.errors import InputError, RmlabError
from rmlab.goldens.base import Scorer
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange
from rmlab.paths import user_path


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


# What stands for a letter in words that try to slip through: sh1t, b!tch, fvck; not in words of up to three
# letters, nor digits in front, as numbers and names of roads are no insults.
_LOOKALIKES = {"a": "@4", "e": "3", "i": "1!", "l": "1", "o": "0", "s": "$5", "t": "7", "u": "v"}
_SPACE = r"[\s_.-]*"  # within an entry of several words
_WORDS = re.compile(r"\S+")


@dataclass(frozen=True)
class Offensive:
    """-(offensive words) / (words), from -1 to 0, or with unit=count just -(offensive words).

    It counts words that are rude wherever they stand: it sees neither insults in plain words ("nobody
    would miss you") nor that a word is quoted. Most responses tie at 0.
    """

    name: ClassVar[str] = "offensive"

    words: str = field(default="shipped:words/offensive.txt", metadata={"source": True})
    unit: Literal["share", "count"] = "share"

    def open(self, compute: Compute) -> Scorer:
        pattern = _pattern(user_path(self.words))

        def score(exchanges: Sequence[Exchange]) -> list[float]:
            return [self._score(pattern, e.response) for e in exchanges]

        return score

    def _score(self, pattern: re.Pattern[str], text: str) -> float:
        found = sum(1 for _ in pattern.finditer(text))
        total = 1 if self.unit == "count" else max(found, sum(1 for _ in _WORDS.finditer(text)), 1)
        return -found / total if found else 0.0


def _pattern(file: Path) -> re.Pattern[str]:
    """One pattern for the whole list: an entry a line; `stem*` has any ending, `#` begins a comment."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot read this list of words ({error}); one word a line") from None
    entries = {line.partition("#")[0].strip().lower() for line in lines} - {"", "*"}
    if not entries:
        raise InputError(f"{file} has no words; put one a line")
    every = "|".join(_entry(e) for e in sorted(entries, key=lambda e: (-len(e), e)))
    return re.compile(rf"(?<![^\W_])(?:{every})(?![^\W_])", re.IGNORECASE)


def _entry(entry: str) -> str:
    stem = entry.removesuffix("*")
    words = [_word(word) for word in re.split(r"[\s-]+", stem)]
    return _SPACE.join(words) + (r"[^\W_]*" if entry.endswith("*") else "")


def _word(word: str) -> str:
    """Letters may be look-alikes, drawn out to three or more (shiiit) or, inside the word, starred (f**k)."""
    if len(word) <= 3:
        return re.escape(word)
    last = len(word) - 1
    return "".join(_letter(c, first=i == 0, inside=0 < i < last) for i, c in enumerate(word))


def _letter(character: str, first: bool, inside: bool) -> str:
    others = _LOOKALIKES.get(character, "")
    if first:
        others = "".join(c for c in others if not c.isdigit())
    one = f"[{re.escape(character + others + ('*#' if inside else ''))}]"
    return rf"{one}(?:{one}{{2,5}})?"


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
