"""The forms, and how each reads a row."""

from __future__ import annotations

from collections.abc import Callable

from rmlab.data.forms.hh import hh_item
from rmlab.data.forms.item import Item
from rmlab.data.forms.preference import preference_item
from rmlab.data.forms.ranking import ranking_item
from rmlab.data.forms.unpaired import unpaired_item
from rmlab.data.forms.votes import votes_item
from rmlab.data.reader import Row

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
