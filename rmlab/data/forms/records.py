"""The forms, and how each reads a row."""

from __future__ import annotations

from collections.abc import Callable

from rmlab.data.forms import hh, preference, ranking, unpaired, votes
from rmlab.data.forms.item import Item
from rmlab.data.reader import Row

ReadItem = Callable[[Row, str], Item]

# one record is one item, even where records share a prompt
RECORDS: dict[str, ReadItem] = {
    "hh": hh.item,
    "preference": preference.item,
    "ranking": ranking.item,
    "votes": votes.item,
}
# the rows of one prompt are one item
ROWS: dict[str, ReadItem] = {"unpaired": unpaired.item}
SCORED, ARRAYS, PROMPTS, AUTO = "scored", "arrays", "prompts", "auto"
