"""The known forms of preference data, their readers, and the recognition of a file's form by its columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path

from rmlab.data.csv_messages import ANSWERS
from rmlab.data.forms.arrays import is_arrays
from rmlab.data.forms.base import Item, has
from rmlab.data.forms.judgements import annotators, is_blank, ranking_item, unpaired_item, votes_item
from rmlab.data.forms.preference import hh_item, is_dialogue, preference_item
from rmlab.data.reader import Row, read_rows
from rmlab.errors import InputError

ReadItem = Callable[[Row, str], Item]

# one record is one item, even where records share a prompt
RECORDS: dict[str, ReadItem] = {
    "hh": hh_item,
    "preference": preference_item,
    "ranking": ranking_item,
    "votes": votes_item,
}
# the rows of one prompt are one item
ROWS: dict[str, ReadItem] = {"unpaired": unpaired_item}
SCORED, ARRAYS, PROMPTS, AUTO = "scored", "arrays", "prompts", "auto"

_ANSWERED = (*RECORDS, *ROWS, SCORED, ARRAYS)
_LOOKED_AT = 100  # rows


def recognise(
    path: Path, form: str = AUTO, otherwise: str | None = None, names: Mapping[str, str] | None = None
) -> str:
    """The form of a file: `form` unless it is auto, else that of the first row, or `otherwise` if it has
    none. Rows whose answers are empty tell nothing, so that the first with some counts.

    names: the file's names of columns, where they are others.
    """
    if form != AUTO:
        return form
    if is_arrays(path):
        return ARRAYS
    row = _telling_row(path, names)
    found = _forms(row)
    if not found and otherwise:
        return otherwise
    if len(found) == 1:
        return found[0]
    columns = ", ".join(sorted(k for k in map(str, row) if has(row, k))) or "nothing"
    what = f"match the forms {' or '.join(found)}" if found else "match no known form"
    named = "" if found else ", or its columns with columns.prompt=... and so on"
    raise InputError(
        f"{path}: its columns ({columns}) {what}; name one with form={'|'.join(_ANSWERED)}{named}"
    )


def _telling_row(path: Path, names: Mapping[str, str] | None) -> Row:
    """The first row without an empty answer, or the first of all if there is none near the beginning."""
    first: Row = {}
    for _, row in islice(read_rows(path, names=names), _LOOKED_AT):
        first = first or row
        if not any(is_blank(row.get(column)) for column in ANSWERS):
            return row
    return first


def _forms(row: Row) -> list[str]:
    """All forms that the row could have; `prompts` only if there are no answers."""

    def all_of(*columns: str) -> bool:
        return all(has(row, c) for c in columns)

    pair = all_of("response_a", "response_b")
    voted = all_of("votes") or all_of("votes_a", "votes_b") or bool(annotators(row))
    listed = has(row, "responses") or has(row, "completions")
    dialogues = is_dialogue(row.get("chosen")) and is_dialogue(row.get("rejected"))
    explicit = has(row, "prompt") or has(row, "messages")
    ours = all_of("prompt_id", "score_chosen", "score_rejected")  # as `rmlab export` writes them
    is_form = {
        "hh": all_of("chosen", "rejected") and dialogues and not ours,
        "preference": all_of("chosen", "rejected") and not (dialogues and not explicit),
        "ranking": listed and (has(row, "ranks") or has(row, "scores")),
        "unpaired": all_of("completion", "label"),
        "votes": pair and voted,
        SCORED: has(row, "response") or all_of("response_id", "score"),
    }
    found = [form for form, fits in is_form.items() if fits]
    if not found and explicit and not listed and not any(has(row, c) for c in ANSWERS):
        return [PROMPTS]
    return found
