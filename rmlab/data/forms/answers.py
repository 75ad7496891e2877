"""What samplers and golden rewards ask of a file: the answers to a prompt, the score of an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from rmlab.data.forms.arrays import open_arrays
from rmlab.data.forms.items import Items, read_items
from rmlab.data.forms.recognise import recognise
from rmlab.data.forms.records import ARRAYS, AUTO, PROMPTS, SCORED


class Answers(Protocol):
    def answers(self, prompt_id: str) -> list[tuple[str, str]] | None:
        """(text, response_id) of each; None for a prompt that is not here."""
        ...

    def score(self, response_id: str) -> float | None: ...


class _ItemAnswers:
    def __init__(self, found: Items) -> None:
        self._items = {item.prompt_id: item for item in found.items}
        self._scores = {a.response_id: a.score for item in found.items for a in item.answers}

    def answers(self, prompt_id: str) -> list[tuple[str, str]] | None:
        item = self._items.get(prompt_id)
        return None if item is None else [(a.text, str(a.response_id)) for a in item.answers]

    def score(self, response_id: str) -> float | None:
        return self._scores.get(response_id)


def open_answers(path: Path, form: str = AUTO, unusable: str = "error") -> Answers | None:
    """None for scored rows: these may be in several files, which their readers stream and judge."""
    form = recognise(path, form, otherwise=SCORED)
    if form in (SCORED, PROMPTS):
        return None
    return open_arrays(path) if form == ARRAYS else _ItemAnswers(read_items(path, form, unusable))
