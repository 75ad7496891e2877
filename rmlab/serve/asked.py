"""The texts that a request asks about, and the response that their scores become."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rmlab.errors import InputError
from rmlab.models.text.rendering import Exchange
from rmlab.models.text.tokens import Encoded
from rmlab.reward.scored import ScoredTexts
from rmlab.reward.texts import as_exchanges
from rmlab.serve.batching import TextJob
from rmlab.serve.body import check_text
from rmlab.serve.limits import Limits
from rmlab.serve.refusals import bad
from rmlab.serve.scorer import Scorer

_CHARACTERS = 4  # of a token, roughly
_AROUND = 8  # tokens that a template puts around a text, roughly


@dataclass(frozen=True)
class Asked:
    """The job of a request, and how its scores are told."""

    job: TextJob
    reply: Callable[[ScoredTexts], dict[str, Any]]


@dataclass(frozen=True)
class Desk:
    """Reads the texts of requests for a model, within limits."""

    scorer: Scorer
    limits: Limits

    def texts(self, prompts: Sequence[Any], responses: Sequence[Any]) -> TextJob:
        """A job of prompts, texts or messages, with their responses."""
        try:
            exchanges = as_exchanges(prompts, responses)
        except InputError as error:
            raise bad(str(error)) from None
        for k, exchange in enumerate(exchanges, start=1):
            self._check(exchange, f"text {k}")
        if self.scorer.compares and min(Counter(e.prompt_id for e in exchanges).values()) < 2:
            raise bad(
                "this head compares the responses to a prompt with each other (head.centre=prompt); send at "
                "least two responses to every prompt, in one request to /score"
            )
        return TextJob(exchanges, sum(map(_cost, exchanges)))

    def _check(self, exchange: Exchange, where: str) -> None:
        texts = [*(m["content"] for m in exchange.messages), exchange.response]
        for text in texts:
            check_text(text, where, self.limits)
        if (size := sum(map(len, texts))) > self.limits.max_chars:
            most = self.limits.max_chars
            raise bad(f"{where}: has {size} characters, and a text may have {most}", "length")
        self.check_response(exchange.response, where)

    def check_response(self, response: str, where: str) -> None:
        """Refuses an empty response, where that is asked for."""
        if self.limits.strict and not response.strip():
            raise bad(f"{where}: its response is empty, which this server refuses (--strict)", "empty")

    def tokens(self, rows: Sequence[Encoded]) -> TextJob:
        """A job of texts that are tokens already."""
        if self.scorer.compares:
            raise bad(
                "this head compares the responses to a prompt with each other (head.centre=prompt), so it "
                "needs prompts and responses apart; use /score"
            )
        for k, row in enumerate(rows, start=1):
            if not row.prompt and not row.response:
                raise bad(f"text {k} has no tokens; send some text", "empty")
        return TextJob(rows, sum(len(row.prompt) + len(row.response) for row in rows))


def _cost(exchange: Exchange) -> int:
    """An estimate of the tokens of a text."""
    size = len(exchange.response) + sum(len(m["content"]) for m in exchange.messages)
    return size // _CHARACTERS + _AROUND
