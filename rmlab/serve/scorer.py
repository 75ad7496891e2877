"""What a server needs of a model, and the reward model as that."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from rmlab.embedders.base import ReadsTokens
from rmlab.heads.fitted.centred import CentredHead
from rmlab.models.text.rendering import Exchange
from rmlab.models.text.tokens import Encoded
from rmlab.reward.model import RewardModel
from rmlab.reward.scored import ScoredTexts


class Tokens:
    """Turns text into tokens beside the model.

    A tokenizer may not be used by two threads at once, so this has a copy of its own, and a lock.
    limit: the most tokens that the model reads; pooling: as in the embedder's settings.
    """

    def __init__(self, tokenizer: Any, limit: int, pooling: str) -> None:
        self._tokenizer, self._lock = copy.deepcopy(tokenizer), threading.Lock()
        self.limit, self.pooling = limit, pooling
        self.size = len(tokenizer)
        self.special = frozenset(tokenizer.all_special_ids)

    def of_texts(self, texts: list[str], special: bool) -> list[list[int]]:
        """Tokenises texts, in which the names of special tokens are those tokens. special: add those that the
        tokenizer puts around a text."""
        with self._lock:
            return [list(ids) for ids in self._tokenizer(texts, add_special_tokens=special)["input_ids"]]

    def of_parts(self, texts: list[str], opens: bool) -> list[list[int]]:
        """Tokenises parts of texts. opens: whether they are the first parts."""
        from rmlab.models.text.tokens import token_ids

        with self._lock:
            return token_ids([[text] for text in texts], self._tokenizer, opens)


class Scorer(Protocol):
    """Scores texts, one batch at a time.

    name: what clients call the model; about: describes it; compares: whether the responses to a prompt are
    scored against each other, so that a request needs two of each; tokens: None for a model that reads no
    tokens.
    """

    name: str
    about: str
    compares: bool

    @property
    def tokens(self) -> Tokens | None: ...

    def score_exchanges(self, exchanges: Sequence[Exchange]) -> ScoredTexts: ...

    def score_tokens(self, rows: Sequence[Encoded]) -> ScoredTexts: ...


@dataclass(eq=False)
class ModelScorer:
    """A reward model. name: of its folder, if no other is given."""

    model: RewardModel
    name: str
    about: str = field(init=False)
    compares: bool = field(init=False)

    def __post_init__(self) -> None:
        self.about = repr(self.model)
        self.compares = isinstance(self.model.head, CentredHead)

    def load(self) -> None:
        """Loads the embedding model, if that was not done."""
        assert self.tokens is None or self.tokens.limit > 0

    @cached_property
    def tokens(self) -> Tokens | None:
        found = self.model.embedder
        if not isinstance(found, ReadsTokens):
            return None
        return Tokens(found.tokenizer, found.limit, found.pooling)

    def score_exchanges(self, exchanges: Sequence[Exchange]) -> ScoredTexts:
        return self.model.score_exchanges(exchanges, lambda rows, tokens: None)

    def score_tokens(self, rows: Sequence[Encoded]) -> ScoredTexts:
        return self.model.score_tokens(rows)
