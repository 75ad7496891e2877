"""Reads the texts of a file that are to be scored: preference data of any form, or prompts with responses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rmlab.data.forms.base import answer_text, has
from rmlab.data.forms.items import EMPTY, read_items
from rmlab.data.forms.judgements import given_id
from rmlab.data.forms.recognise import ARRAYS, AUTO, PROMPTS, RECORDS, ROWS, SCORED, recognise
from rmlab.data.messages import conversation, prompt_messages
from rmlab.data.prompts import content_id
from rmlab.data.reader import Row, read_rows
from rmlab.errors import ConfigError, InputError
from rmlab.metrics.intervals import interval
from rmlab.models.text.rendering import Exchange, Message

RESAMPLES = 1000
FORMS = (AUTO, PROMPTS, SCORED, *RECORDS, *ROWS)


@dataclass(frozen=True)
class Accuracy:
    """The share of pairs that scores order as annotators did, where a tie of scores is half right.

    It is the mean over prompts of the share of a prompt; low, high: a 95 % interval by resampling prompts.
    """

    accuracy: float
    low: float
    high: float
    pairs: int
    prompts: int


@dataclass(frozen=True)
class ScoreRows:
    """Texts to score, in the order of the file.

    form: as read; row: [n] the row of each in the file, from 1; preference: [n] how much annotators liked it,
    NaN where nobody said; left_out: the number of rows or records that were dropped, by reason.
    """

    form: str
    exchanges: list[Exchange]
    row: np.ndarray
    preference: np.ndarray
    left_out: Mapping[str, int] = field(default_factory=dict)

    def accuracy(self, score: np.ndarray, seed: int = 0) -> Accuracy | None:
        """Compares the order of scores with that of preferences; None where no two answers are ordered."""
        of_prompt: dict[str, list[np.ndarray]] = {}
        for rows in self._answers():
            first, second = np.triu_indices(len(rows), 1)
            liked = self.preference[rows][first] - self.preference[rows][second]
            known = np.isfinite(liked) & (liked != 0)
            margin = (score[rows][first] - score[rows][second])[known] * np.sign(liked[known])
            name = content_id(self.exchanges[rows[0]].messages)
            of_prompt.setdefault(name, []).append((margin > 0) + 0.5 * (margin == 0))
        right = [found for parts in of_prompt.values() if len(found := np.concatenate(parts))]
        if not right:
            return None
        means = np.array([float(found.mean()) for found in right])
        mean, *ends = interval(means, np.random.default_rng(seed), RESAMPLES)
        low, high = map(float, np.clip(ends, 0, 1))  # few prompts widen it beyond what a share can be
        return Accuracy(mean, low, high, sum(map(len, right)), len(right))

    def _answers(self) -> Iterable[np.ndarray]:
        """The rows of answers that were given beside each other: those of a record, or of a prompt."""
        record = np.unique([e.prompt_id for e in self.exchanges], return_inverse=True)[1]
        order = np.argsort(record, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(record[order])) + 1)


def read_score_rows(
    path: Path, form: str = AUTO, names: Mapping[str, str] | None = None, unusable: str = "error"
) -> ScoreRows:
    """Reads a file of any form of preference data, or rows of a prompt and a response without a score.

    names: the file's names of columns, where they are others; unusable: error or drop, for empty answers.
    """
    if form not in FORMS:
        raise ConfigError(f"there is no form {form}; give {', '.join(FORMS[:-1])} or {FORMS[-1]}")
    found = recognise(path, form, PROMPTS, names)
    if found == ARRAYS:
        raise InputError(f"{path} has embeddings and no texts; score them in Python with score_embeddings")
    if found in (PROMPTS, SCORED):
        return _responses(path, found, names, unusable)
    exchanges, rows, preference = [], [], []
    items = read_items(path, found, unusable, names=names)
    for item in items.items:
        for answer in item.answers:
            prompt_id, response_id = str(item.prompt_id), str(answer.response_id)
            exchanges.append(Exchange(prompt_id, response_id, item.messages, answer.text))
            rows.append(item.number)
            preference.append(answer.score)
    return ScoreRows(found, exchanges, np.array(rows), np.array(preference, dtype=float), items.left_out)


def _responses(path: Path, form: str, names: Mapping[str, str] | None, unusable: str) -> ScoreRows:
    """Rows of one response each, with a score or without."""
    exchanges, rows, preference = [], [], []
    seen: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    for number, row in read_rows(path, names=names):
        where = f"{path}, row {number}"
        messages, text = _prompt_and_response(row, where)
        if not text.strip():
            if unusable == "drop":
                left_out[EMPTY] += 1
                continue
            raise InputError(f"{where}: {EMPTY}; mend it, or leave such records out with unusable=drop")
        prompt_id = given_id(row, "prompt_id", where) or content_id(messages)
        response_id = given_id(row, "response_id", where) or f"{prompt_id}-{seen[prompt_id]}"
        seen[prompt_id] += 1
        exchanges.append(Exchange(prompt_id, response_id, messages, text))
        rows.append(number)
        preference.append(_score(row))
    if not exchanges:
        raise InputError(f"{path}: none of its rows can be used ({EMPTY})")
    return ScoreRows(form, exchanges, np.array(rows), np.array(preference), left_out)


def _prompt_and_response(row: Row, where: str) -> tuple[list[Message], str]:
    """The prompt and the response of a row; without `response`, messages that end with the assistant's."""
    given = row.get("response", row.get("completion"))
    if given is not None:
        return prompt_messages(row, where), answer_text(given, "response", where)
    if has(row, "messages"):
        *before, last = conversation(row["messages"], where)
        if before and last["role"] == "assistant":
            return prompt_messages({"messages": before}, where), last["content"]
    raise InputError(
        f"{where}: no response; give 'response', or messages that end with the assistant's, or name the "
        "column with columns.response=..."
    )


def _score(row: Row) -> float:
    """The row's own score where it has one that is a number, else NaN."""
    value: Any = row.get("score")
    try:
        return float("nan") if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return float("nan")
