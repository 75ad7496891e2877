"""A golden reward by scores from a user's file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from rmlab.config.settings import Columns, FormName, Unusable
from rmlab.data.forms.items import open_answers
from rmlab.data.forms.judgements import AnswerIds, given_id, response_text, score_of
from rmlab.data.messages import prompt_messages
from rmlab.data.prompts import content_id
from rmlab.data.reader import read_rows
from rmlab.errors import InputError
from rmlab.goldens.base import Failed, Score, Scorer
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange
from rmlab.paths import user_path

Key = tuple[str, ...]
_COLUMNS = ("response_id", "prompt_id", "prompt", "messages", "response")
_SHOWN = 10  # names of rewards in an error


@dataclass(frozen=True)
class FileGolden:
    """Reads scores from a file of any form.

    Scored rows have a score and response_id, or prompt (or prompt_id) and response. reward: which one to read
    from a file of several rewards, which are named in its column `reward`. A score of NaN means that the
    reward failed on this response; a missing score is an error. test_path: further scored rows, of the
    responses of another policy, on which heads are judged.
    """

    name: ClassVar[str] = "file"

    path: str = field(metadata={"source": True})
    column: str = "score"
    reward: str | None = None
    form: FormName = "auto"
    unusable: Unusable = "error"
    test_path: str | None = field(default=None, metadata={"source": True})
    columns: Columns = field(default_factory=dict)
    recorded = True

    def open(self, compute: Compute) -> Scorer:
        path = user_path(self.path)
        answers = open_answers(path, self.form, self.unusable, self.columns)
        if answers is not None and self.reward is not None:
            raise InputError(f"{path} has no scored rows; golden.file.reward picks among those: leave it out")
        scores = self._scores(path) if answers is None else {}
        if self.test_path is not None:
            if answers is not None:
                raise InputError(
                    f"{path} has no scored rows, which golden.file.test_path needs: leave it out"
                )
            scores |= self._scores(user_path(self.test_path))

        def score(exchanges: Sequence[Exchange]) -> list[Score]:
            found = (answers.score(e.response_id) if answers else _find(scores, e) for e in exchanges)
            return [_known(value, e, path) for value, e in zip(found, exchanges, strict=True)]

        return score

    def _scores(self, path: Path) -> dict[Key, float]:
        """Reads scores by response id.

        Rows without one get the id of their place, and also prompt and text as key.
        """
        scores: dict[Key, float] = {}
        others: set[str] = set()
        ids = AnswerIds()
        for number, row in read_rows(path, (*_COLUMNS, "reward", self.column), self.columns):
            where = f"{path}, row {number}"
            if self.reward is not None and row.get("reward") != self.reward:
                if len(others) < _SHOWN:
                    others.add(str(row.get("reward")))
                continue
            given = given_id(row, "response_id", where)
            if given is not None:
                scores[(given,)] = score_of(row, self.column, where)
                continue
            prompt_id = given_id(row, "prompt_id", where) or content_id(prompt_messages(row, where))
            text = response_text(row, where, self.unusable)
            if text is not None:
                score = score_of(row, self.column, where)
                scores[(ids.next(prompt_id, text),)] = scores[(prompt_id, text)] = score
        if not scores and self.reward is not None:
            known = ", ".join(sorted(others))
            raise InputError(f"{path}: no row whose 'reward' is {self.reward}; there is: {known or 'no row'}")
        return scores


def _known(value: float | None, exchange: Exchange, path: Path) -> Score:
    """Returns the score; raises InputError if there is none."""
    if value is None:
        raise InputError(
            f"{path}: no score for response {exchange.response_id} of prompt {exchange.prompt_id}"
        )
    return value if math.isfinite(value) else Failed(f"the file gives {value}")


def _find(scores: dict[Key, float], exchange: Exchange) -> float | None:
    """Returns the score of a response, or None."""
    return next((scores[key] for key in _keys(exchange) if key in scores), None)


def _keys(exchange: Exchange) -> Iterator[Key]:
    """Yields the keys under which a response may be found, the cheapest to compute first."""
    yield (exchange.response_id,)
    yield (exchange.prompt_id, exchange.response)
    yield (content_id(exchange.messages), exchange.response)
