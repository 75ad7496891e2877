"""Reading a file of any form as items, checked whole: nothing is used of a file with an error in it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

from rmlab.artifacts.fingerprint import row_id
from rmlab.data.forms.scored import AnswerIds, scored_item
from rmlab.data.forms.arrays import Arrays, open_arrays
from rmlab.data.forms.item import Answer, Item, Unusable
from rmlab.data.forms.recognise import recognise
from rmlab.data.forms.records import ARRAYS, AUTO, PROMPTS, RECORDS, ROWS
from rmlab.data.prompts import TurnGroups
from rmlab.data.reader import read_rows
from rmlab.data.same_prompt import SamePrompt
from rmlab.errors import InputError

EMPTY = "an answer is empty"


@dataclass(frozen=True)
class Items:
    """rows: of the file; left_out: how many records for which reason, where these may be dropped."""

    path: Path
    form: str
    items: Collection[Item]
    rows: int
    left_out: dict[str, int]


def read_items(path: Path, form: str = AUTO, unusable: str = "error", column: str = "score") -> Items:
    """unusable: of records that tell nothing (empty or equal answers), error or drop. column: of scored rows.

    Each item has a prompt_id and each answer a response_id; both depend on the content alone.
    """
    form = recognise(path, form)
    if path.is_file():
        seen = path.stat()
        return _known(path, (seen.st_size, seen.st_mtime_ns), form, unusable, column)
    return _read(path, form, unusable, column)


@lru_cache(maxsize=1)
def _known(path: Path, stamp: tuple[int, int], form: str, unusable: str, column: str) -> Items:
    """Once a process for a file as it is: prompts, responses and scores are stages of their own."""
    return _read(path, form, unusable, column)


def _read(path: Path, form: str, unusable: str, column: str) -> Items:
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
    read = RECORDS.get(form) or ROWS.get(form) or partial(scored_item, turns=TurnGroups(), column=column)
    same = SamePrompt()
    for number, row in read_rows(path):
        n_rows, where = n_rows + 1, f"{path}, row {number}"
        try:
            item = replace(read(row, where), number=number, where=where)
            if form not in RECORDS:
                same.check(str(item.prompt_id), row, number, where)
            check_usable(item, form, unusable)
            found.append(item)
        except Unusable as error:
            if unusable == "error":
                raise InputError(f"{error}; mend it, or leave such records out with unusable=drop") from None
            left_out[error.reason] += 1
    if not found:
        raise InputError(f"{path}: none of its {n_rows} rows can be used ({', '.join(left_out)})")
    items = _named(found) if form in RECORDS else _by_prompt(found)
    return Items(path, form, items, n_rows, dict(left_out))


def check_usable(item: Item, form: str, unusable: str) -> None:
    """An empty answer of a recorded dialogue is what was said, and is kept unless it may be dropped."""
    texts = [answer.text for answer in item.answers]
    if any(not t.strip() for t in texts) and not (form == "hh" and unusable == "error"):
        raise Unusable(item.where, EMPTY)
    if form in RECORDS and len(set(texts)) < len(texts):
        raise Unusable(item.where, "two of its answers are the same text")


def _named(items: list[Item]) -> list[Item]:
    """Each record under an id of its own: of its content, and a number where equal content repeats."""
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
    """Items of one answer each -> one a prompt, which is in the file what its first row says."""
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
    """Made one by one: as objects, a million answers would take most of the memory."""

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
    """(pairs of answers with different scores, pairs with equal ones); failed scores are in none."""
    scores = [a.score for a in item.answers if math.isfinite(a.score)]
    ties = sum(math.comb(n, 2) for n in Counter(scores).values())
    return math.comb(len(scores), 2) - ties, ties
