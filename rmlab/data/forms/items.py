"""Reads a file of any form as items, all of it checked before any is used, and its prompts and answers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

from rmlab.config.settings import PromptSettings
from rmlab.data.forms.arrays import Arrays, open_arrays
from rmlab.data.forms.base import Answer, Item, UnusableRecord
from rmlab.data.forms.judgements import AnswerIds, is_blank, scored_item
from rmlab.data.forms.recognise import ARRAYS, AUTO, PROMPTS, RECORDS, ROWS, SCORED, recognise
from rmlab.data.messages import is_text
from rmlab.data.prompts import (
    COLUMNS,
    FirstRows,
    Prompt,
    TextGroups,
    limit,
    read_prompts,
    split_up,
    turn_id,
    whole_groups,
)
from rmlab.data.reader import read_rows
from rmlab.data.splits import given_split
from rmlab.errors import InputError
from rmlab.paths import user_path
from rmlab.storage.digest import row_id

EMPTY = "an answer is empty"


@dataclass(frozen=True)
class Items:
    """The items of a file. rows: number of rows; left_out: number of dropped records by reason."""

    path: Path
    form: str
    items: Collection[Item]
    rows: int
    left_out: dict[str, int]


def read_items(
    path: Path,
    form: str = AUTO,
    unusable: str = "error",
    column: str = "score",
    names: Mapping[str, str] | None = None,
) -> Items:
    """Reads a file as items. Each has a prompt_id and its answers response_ids, which depend only on content.

    unusable: error or drop, for records without information (empty or equal answers); column: the score's, in
    scored rows; names: the file's names of columns, where they are others.
    """
    form = recognise(path, form, names=names)
    named = tuple(sorted((names or {}).items()))
    if path.is_file():
        seen = path.stat()
        return _known(path, (seen.st_size, seen.st_mtime_ns), form, unusable, column, named)
    return _read(path, form, unusable, column, named)


_Names = tuple[tuple[str, str], ...]  # (the form's, the file's), which can be hashed


@lru_cache(maxsize=1)
def _known(path: Path, stamp: tuple[int, int], form: str, unusable: str, column: str, names: _Names) -> Items:
    """Cached while the file stays as it is: the stages of prompts, responses and scores all read it."""
    return _read(path, form, unusable, column, names)


def _read(path: Path, form: str, unusable: str, column: str, names: _Names) -> Items:
    if form == ARRAYS:
        arrays = open_arrays(path)
        return Items(path, form, _ArrayItems(arrays), arrays.n_answers, {})
    if form == PROMPTS:
        raise InputError(
            f"{path} has prompts without answers; give chosen and rejected, or response and score"
        )
    left_out: Counter[str] = Counter()
    n_rows = 0
    found: list[Item] = []
    read = RECORDS.get(form) or ROWS.get(form) or partial(scored_item, column=column)
    same, groups = FirstRows(), TextGroups(by_turn=True)
    for number, row in read_rows(path, names=dict(names)):
        n_rows, where = n_rows + 1, f"{path}, row {number}"
        try:
            item = read(row, where)
            own = str(item.prompt_id) if form == SCORED else turn_id(item.messages)
            group = item.group or groups.of(item.messages, own)
            item = replace(item, group=group, number=number, where=where)
            if form not in RECORDS:
                same.check(str(item.prompt_id), row, number, where)
            check_usable(item, form)
            found.append(item)
        except UnusableRecord as error:
            if unusable == "error":
                raise InputError(f"{error}; mend it, or leave such records out with unusable=drop") from None
            left_out[error.reason] += 1
    if not found:
        raise InputError(f"{path}: none of its {n_rows} rows can be used ({', '.join(left_out)})")
    items = _named(found) if form in RECORDS else _by_prompt(found)
    return Items(path, form, items, n_rows, dict(left_out))


def check_usable(item: Item, form: str) -> None:
    """Raises UnusableRecord for an empty answer, and for equal answers in one record."""
    texts = [answer.text for answer in item.answers]
    if any(not t.strip() for t in texts):
        raise UnusableRecord(item.where, EMPTY)
    if form in RECORDS and len(set(texts)) < len(texts):
        raise UnusableRecord(item.where, "two of its answers are the same text")


def _named(items: list[Item]) -> list[Item]:
    """The records with ids: a hash of the content, with a number if equal content repeats."""
    seen: Counter[str] = Counter()
    found = []
    for item in items:
        said = [part for m in item.messages for part in (m["role"], m["content"])]
        name = row_id("record", *said, *(part for a in item.answers for part in (a.text, repr(a.score))))
        seen[name] += 1
        prompt_id = name if seen[name] == 1 else row_id(name, seen[name])
        answers = tuple(
            replace(a, response_id=row_id("answer", prompt_id, k)) for k, a in enumerate(item.answers)
        )
        found.append(replace(item, prompt_id=prompt_id, answers=answers))
    return found


def _by_prompt(rows: list[Item]) -> list[Item]:
    """Joins items of one answer each into one item a prompt, with the split and group of its first row."""
    ids, seen = AnswerIds(), dict[str, str]()
    first: dict[str, Item] = {}
    answers: dict[str, list[Answer]] = {}
    for item in rows:
        prompt_id, answer = str(item.prompt_id), item.answers[0]
        response_id = answer.response_id or ids.next(prompt_id, answer.text)
        if seen.setdefault(response_id, item.where) != item.where:
            before = seen[response_id].rpartition(", ")[2]
            raise InputError(f"{item.where}: response_id {response_id} repeats {before}")
        first.setdefault(prompt_id, item)
        answers.setdefault(prompt_id, []).append(replace(answer, response_id=response_id))
    return [replace(first[p], answers=tuple(found)) for p, found in answers.items()]


class _ArrayItems(Collection[Item]):
    """Items of arrays, made one at a time: a million answers as objects would take too much memory."""

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays

    def __len__(self) -> int:
        return sum(len(split.rewards) for split in self._arrays.splits.values())

    def __contains__(self, item: object) -> bool:
        return isinstance(item, Item) and str(item.prompt_id) in self._arrays

    def __iter__(self) -> Iterator[Item]:
        a = self._arrays
        for number, (prompt_id, split) in enumerate(a.prompts(), start=1):
            messages = [{"role": "user", "content": f"prompt {prompt_id}"}]
            answers = tuple(Answer(text, a.score(i) or 0.0, i) for text, i in a.answers(prompt_id) or [])
            yield Item(messages, answers, prompt_id, split, prompt_id, True, number, str(a.path))


def pairs_and_ties(item: Item) -> tuple[int, int]:
    """(pairs of answers with different scores, pairs with equal ones); failed scores count in neither."""
    scores = [a.score for a in item.answers if math.isfinite(a.score)]
    ties = sum(math.comb(n, 2) for n in Counter(scores).values())
    return math.comb(len(scores), 2) - ties, ties


def form_prompts(path: Path, how: PromptSettings) -> tuple[list[Prompt], dict[str, Any]]:
    """The prompts in the order of the file, and facts on it: form, whether prompts were text, records left
    out."""
    form = recognise(path, how.form, PROMPTS, how.columns)
    if form in (PROMPTS, SCORED):
        _, row = next(iter(read_rows(path, COLUMNS, how.columns)))
        scored = form == SCORED
        found = read_prompts(path, how.test_fraction, how.duplicates == "merge", scored, how.columns)
        left_out = {"unusable": _blank(path, how)} if scored else {}
        return found, {"form": form, "text": is_text(row), **left_out}
    items = read_items(path, form, how.unusable, names=how.columns)
    prompts = [
        Prompt(
            str(item.prompt_id),
            given_split(item.split, item.where),
            item.messages,
            item.number,
            item.group,
        )
        for item in items.items
    ]
    known = {"form": form, "text": all(item.is_text for item in items.items), "unusable": items.left_out}
    return split_up(prompts, how.test_fraction), known


def chosen_prompts(how: PromptSettings) -> tuple[list[Prompt], dict[str, Any]]:
    """The prompts of both splits that the settings take, and facts on their file: those of form_prompts, the
    number of prompts `found`, and of those `parted` from their group, which are left out."""
    path = user_path(how.path)
    found, known = form_prompts(path, how)
    whole = whole_groups(found)
    kept = [*limit(whole, "train", how.n_train), *limit(whole, "test", how.n_test)]
    for split in ("train", "test"):
        if not any(p.split == split for p in kept):
            raise InputError(f"{path} has no {split} prompts; add some, or change prompts.test_fraction")
    return kept, {**known, "found": len(found), "parted": len(found) - len(whole)}


def _blank(path: Path, how: PromptSettings) -> dict[str, int]:
    """Number of scored rows left out by reason; without `drop` such rows are an error when they are read."""
    if how.unusable != "drop":
        return {}
    n = sum(is_blank(row.get("response")) for _, row in read_rows(path, ("response",), how.columns))
    return {EMPTY: n} if n else {}


class Answers(Protocol):
    """The answers of a file and their scores, looked up by id."""

    def answers(self, prompt_id: str) -> list[tuple[str, str]] | None:
        """(text, response_id) of each answer; None if the file does not have the prompt."""
        ...

    def score(self, response_id: str) -> float | None: ...


def open_answers(
    path: Path, form: str = AUTO, unusable: str = "error", names: Mapping[str, str] | None = None
) -> Answers | None:
    """The answers of a file; None for scored rows, which may be in several files and are read as streams."""
    form = recognise(path, form, SCORED, names)
    if form in (SCORED, PROMPTS):
        return None
    return (
        open_arrays(path) if form == ARRAYS else _ItemAnswers(read_items(path, form, unusable, names=names))
    )


class _ItemAnswers:
    def __init__(self, found: Items) -> None:
        self._items = {item.prompt_id: item for item in found.items}
        self._scores = {a.response_id: a.score for item in found.items for a in item.answers}

    def answers(self, prompt_id: str) -> list[tuple[str, str]] | None:
        item = self._items.get(prompt_id)
        return None if item is None else [(a.text, str(a.response_id)) for a in item.answers]

    def score(self, response_id: str) -> float | None:
        return self._scores.get(response_id)
