"""What the rows of one prompt must agree on."""

from __future__ import annotations

from rmlab.data.reader import Row
from rmlab.errors import InputError

SPLITS = {"train": "train", "test": "test", "validation": "test", "eval": "test"}


class SamePrompt:
    """A prompt is in the split and the group of its first row: a later one may leave them out, not differ."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[int, dict[str, str | None]]] = {}

    def check(self, prompt_id: str, row: Row, number: int, where: str) -> None:
        given = {"split": _text(row, "split"), "group": _text(row, "group")}
        before, first = self._first.setdefault(prompt_id, (number, given))
        for column, value in given.items():
            if value is not None and value != first[column]:
                raise InputError(
                    f"{where}: prompt {prompt_id} has another {column} than in row {before}; "
                    "give all rows of a prompt the same"
                )


def _text(row: Row, column: str) -> str | None:
    value = row.get(column)
    if value is None or value == "":
        return None
    return SPLITS.get(str(value), str(value)) if column == "split" else str(value)
