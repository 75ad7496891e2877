"""Golden rewards by word lists: sentiment, offensive language, descriptiveness."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from rmlab.config.optional_packages import require
from rmlab.errors import InputError
from rmlab.goldens.base import Scorer
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange
from rmlab.paths import user_path

Tagger = Callable[[str], Sequence[tuple[str, str]]]
_MODIFIERS = ("JJ", "RB")  # Penn tags: JJ JJR JJS, RB RBR RBS
_NEGATIONS = {"not", "n't"}  # tagged as adverbs
# Characters that stand for a letter in disguised words: sh1t, b!tch, fvck. They do not count in words of up
# to
# three letters, nor as digits in front, since numbers and names of roads are no insults.
_LOOKALIKES = {"a": "@4", "e": "3", "i": "1!", "l": "1", "o": "0", "s": "$5", "t": "7", "u": "v"}
_SPACE = r"[\s_.-]*"  # within an entry of several words
_WORDS = re.compile(r"\S+")


@dataclass(frozen=True)
class Sentiment:
    """Scores the compound sentiment of VADER, from -1 to 1 (Hutto & Gilbert 2014)."""

    name: ClassVar[str] = "sentiment"
    packages: ClassVar[tuple[str, ...]] = ("vaderSentiment",)
    needs: ClassVar[tuple[str, ...]] = ("vaderSentiment",)

    def open(self, compute: Compute) -> Scorer:
        require("golden=sentiment", *self.needs)
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        analyzer = SentimentIntensityAnalyzer()

        def score(exchanges: Sequence[Exchange]) -> list[float]:
            return [analyzer.polarity_scores(e.response)["compound"] for e in exchanges]

        return score


@dataclass(frozen=True)
class Offensive:
    """Scores -(offensive words) / (words), from -1 to 0, or with unit=count -(offensive words).

    It only counts rude words: it neither notices insults in plain words ("nobody would miss you") nor that a
    word is quoted. Most responses tie at 0.
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
    """Compiles the list, an entry on each line; `stem*` matches any ending, `#` begins a comment."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{file}: cannot read this list of words ({error}); it needs one word on each line"
        ) from None
    entries = {line.partition("#")[0].strip().lower() for line in lines} - {"", "*"}
    if not entries:
        raise InputError(f"{file} has no words; put one on each line")
    every = "|".join(_entry(e) for e in sorted(entries, key=lambda e: (-len(e), e)))
    return re.compile(rf"(?<![^\W_])(?:{every})(?![^\W_])", re.IGNORECASE)


def _entry(entry: str) -> str:
    """Returns the pattern of an entry."""
    stem = entry.removesuffix("*")
    words = [_word(word) for word in re.split(r"[\s-]+", stem)]
    return _SPACE.join(words) + (r"[^\W_]*" if entry.endswith("*") else "")


def _word(word: str) -> str:
    """Returns the pattern of a word.

    Its letters may be look-alikes, repeated (shiiit), or inside it starred (f**k).
    """
    if len(word) <= 3:
        return re.escape(word)
    last = len(word) - 1
    return "".join(_letter(c, first=i == 0, inside=0 < i < last) for i, c in enumerate(word))


def _letter(character: str, first: bool, inside: bool) -> str:
    """Returns the pattern of a letter."""
    others = _LOOKALIKES.get(character, "")
    if first:
        others = "".join(c for c in others if not c.isdigit())
    one = f"[{re.escape(character + others + ('*#' if inside else ''))}]"
    return rf"{one}(?:{one}{{2,5}})?"


@dataclass(frozen=True)
class Descriptiveness:
    """Scores (adjectives + adverbs) / max(words, min_words) of English; negations are not adverbs here.

    Parts of speech come from a lexicon with context rules, not a model: the tagger of De Smedt and Daelemans
    2012, "Pattern for Python", as in TextBlob. It measures the density of modifiers, not how vivid nouns and
    verbs are, nor the quality of the text: a mere list of adjectives has the highest score.
    """

    name: ClassVar[str] = "descriptiveness"
    packages: ClassVar[tuple[str, ...]] = ("textblob",)
    needs: ClassVar[tuple[str, ...]] = ("textblob",)

    min_words: int = 10

    def __post_init__(self) -> None:
        if self.min_words < 1:
            raise ValueError(f"min_words is {self.min_words}: use at least 1")

    def open(self, compute: Compute) -> Scorer:
        require("golden=descriptiveness", *self.needs)
        tag = _tagger()

        def score(exchanges: Sequence[Exchange]) -> list[float]:
            return [self._score(tag(e.response)) for e in exchanges]

        return score

    def _score(self, tagged: Sequence[tuple[str, str]]) -> float:
        words = [(w.lower(), kind) for w, kind in tagged if any(c.isalnum() for c in w)]
        found = sum(1 for w, kind in words if kind.startswith(_MODIFIERS) and w not in _NEGATIONS)
        return found / max(len(words), self.min_words)


def _tagger() -> Tagger:
    """Returns a function from a text to its words with Penn tags."""
    from textblob.en import tag

    return lambda text: tag(text) if text.strip() else []
