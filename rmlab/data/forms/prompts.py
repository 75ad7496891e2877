"""The prompts of a file of any form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rmlab.data.forms.items import EMPTY, read_items
from rmlab.data.forms.recognise import recognise
from rmlab.data.forms.records import PROMPTS, SCORED
from rmlab.data.forms.scored import is_blank
from rmlab.data.messages import is_text
from rmlab.data.prompts import Prompt, read_prompts, split_of
from rmlab.data.reader import read_rows
from rmlab.settings import Prompts


def form_prompts(path: Path, how: Prompts) -> tuple[list[Prompt], dict[str, Any]]:
    """Prompts in the order of the file, and what is known of it: its form, and whether prompts were text."""
    form = recognise(path, how.form, otherwise=PROMPTS)
    if form in (PROMPTS, SCORED):
        _, row = next(iter(read_rows(path)))
        scored = form == SCORED
        found = read_prompts(path, how.test_fraction, how.duplicates == "merge", by_turn=scored)
        left_out = {"unusable": _blank(path, how.unusable)} if scored else {}
        return found, {"form": form, "text": is_text(row), **left_out}
    items = read_items(path, form, how.unusable)
    prompts = [
        Prompt(
            str(item.prompt_id),
            split_of(item.split, item.group, how.test_fraction, item.where),
            item.messages,
            item.number,
            item.group,
        )
        for item in items.items
    ]
    known = {"form": form, "text": all(item.is_text for item in items.items), "unusable": items.left_out}
    return prompts, known


def _blank(path: Path, unusable: str) -> dict[str, int]:
    """Reason -> scored rows that are left out; without `drop` they are an error where they are read."""
    if unusable != "drop":
        return {}
    n = sum(is_blank(row.get("response")) for _, row in read_rows(path, ("response",)))
    return {EMPTY: n} if n else {}
