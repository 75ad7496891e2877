"""Reads prompts and demonstrations from a user's file, with their ids, groups and splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from unicodedata import category, normalize

from rmlab.data.messages import check_messages, conversation, is_text, prompt_messages
from rmlab.data.reader import Row, name_text, need_text, read_rows
from rmlab.data.splits import SPLITS, drawn_splits, given_split, hash_share
from rmlab.errors import InputError
from rmlab.models.text.rendering import Message
from rmlab.storage.digest import row_id

COLUMNS = ("prompt_id", "prompt", "messages", "split", "group")


@dataclass(frozen=True)
class Prompt:
    """A prompt, its split, and the number of its row in the file. split: "" until it is drawn."""

    prompt_id: str
    split: str
    messages: list[Message]
    source_row: int
    group: str  # prompts of one group are never split apart


def read_prompts(
    path: Path,
    test_fraction: float,
    merge: bool = False,
    by_turn: bool = False,
    names: Mapping[str, str] | None = None,
) -> list[Prompt]:
    """The prompts in the order of the file; `merge` keeps the first of several rows with the same prompt.

    A prompt without a group shares one with prompts of the same text or, with by_turn, of the same first
    turn. names: the file's names of columns, where they are others.
    """
    seen: dict[str, int] = {}
    prompts = []
    same, groups = FirstRows(), TextGroups(by_turn)
    first: tuple[int, bool] | None = None
    for number, row in read_rows(path, COLUMNS, names):
        where = f"{path}, row {number}"
        messages = _messages(row, where)
        first = first or (number, is_text(row))
        _check_form(row, first, where)
        prompt_id = _prompt_id(row, messages, where)
        group = _given(row, "group", where) or groups.of(messages, prompt_id)
        if merge:
            same.check(prompt_id, row, number, where)
        if prompt_id in seen:
            if merge:
                continue
            raise InputError(
                f"{where}: prompt_id {prompt_id} repeats row {seen[prompt_id]}; give each prompt its own id, "
                "or keep one of them with prompts.duplicates=merge"
            )
        seen[prompt_id] = number
        split = given_split(row.get("split"), where)
        prompts.append(Prompt(prompt_id, split, messages, number, group))
    return split_up(prompts, test_fraction)


def split_up(prompts: Sequence[Prompt], test_fraction: float) -> list[Prompt]:
    """The prompts, of which those without a split of the file's are drawn into train and test."""
    splits = drawn_splits([p.split for p in prompts], [p.group for p in prompts], test_fraction)
    return [p if p.split else replace(p, split=split) for p, split in zip(prompts, splits, strict=True)]


def _messages(row: Row, where: str) -> list[Message]:
    """The prompt of a row; where there is none, the error says how to name its column."""
    try:
        return prompt_messages(row, where)
    except InputError as error:
        if row.get("prompt") is None and row.get("messages") is None:
            raise InputError(f"{error}; name the column that has it with columns.prompt=...") from None
        raise


class FirstRows:
    """Checks that later rows of a prompt give the split and group of its first row, or none."""

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


def _check_form(row: Row, first: tuple[int, bool], where: str) -> None:
    """Raises an InputError if some prompts are text and others messages, which is probably a mistake."""
    number, text = first
    if is_text(row) == text:
        return
    this, other = ("text", "messages") if is_text(row) else ("messages", "text")
    raise InputError(
        f"{where}: its prompt is {this} and that of row {number} is {other}; give all rows the same form: "
        '`prompt` with text, or `messages`, such as [{"role": "user", "content": "..."}]'
    )


def _prompt_id(row: Row, messages: list[Message], where: str) -> str:
    return _given(row, "prompt_id", where) or content_id(messages)


def _given(row: Row, column: str, where: str) -> str | None:
    """A name as text, or None; an empty field of a CSV file is None."""
    value = row.get(column)
    return None if value is None or value == "" else name_text(value, column, where)


def content_id(messages: list[Message]) -> str:
    """The id of a prompt for which the file gives none: a hash of its content."""
    return _hashed(tuple(part for m in messages for part in (m["role"], m["content"])))


@lru_cache(maxsize=1 << 16)
def _hashed(parts: tuple[str, ...]) -> str:
    """A cached hash: every response of a prompt asks for it."""
    return row_id(*parts)


class TextGroups:
    """Groups for prompts for which the file gives none: that of the first prompt with the same text.

    So a prompt whose text no other has is its own group. by_turn: the text is that of the first user message.
    """

    def __init__(self, by_turn: bool) -> None:
        self._by_turn = by_turn
        self._first: dict[str, str] = {}

    def of(self, messages: list[Message], own: str) -> str:
        """The group of a prompt; own: the one that it has if its text is new."""
        return self._first.setdefault(text_id(first_turn(messages) if self._by_turn else messages), own)


def first_turn(messages: list[Message]) -> list[Message]:
    return [next((m for m in messages if m["role"] == "user"), messages[0])]


def turn_id(messages: list[Message]) -> str:
    """The id that the first user message would have as a prompt of its own."""
    return content_id(first_turn(messages))


def text_id(messages: list[Message]) -> str:
    """An id that prompts share whose texts a reader would call the same; see `comparable`."""
    return _compared(tuple(part for m in messages for part in (m["role"], m["content"])))


@lru_cache(maxsize=1 << 16)
def _compared(parts: tuple[str, ...]) -> str:
    return row_id(*map(comparable, parts))


def comparable(text: str) -> str:
    """The text without what only looks different: capitals, spaces and line breaks of any kind and number,
    characters that are not seen, and the two ways in which Unicode writes letters with marks (NFC, NFD).

    Characters that Unicode only calls compatible, such as full-width letters and raised digits, stay apart.
    """
    if not text.isascii():
        seen = "".join(c for c in text if category(c) != "Cf")
        text = normalize("NFC", normalize("NFD", seen).casefold())
    return " ".join(text.casefold().split())


def whole_groups(prompts: list[Prompt]) -> list[Prompt]:
    """The prompts without train prompts of groups that also have test prompts, if the file's split allows
    these."""
    tested = {p.group for p in prompts if p.split == "test"}
    return [p for p in prompts if p.split == "test" or p.group not in tested]


def limit(prompts: list[Prompt], split: str, n: int | None) -> list[Prompt]:
    """The n prompts of a split with the smallest hashes, so that a larger n keeps those of a smaller one."""
    chosen = [p for p in prompts if p.split == split]
    if n is None or n >= len(chosen):
        return chosen
    keep = {p.prompt_id for p in sorted(chosen, key=lambda p: hash_share(p.prompt_id, "limit"))[:n]}
    return [p for p in chosen if p.prompt_id in keep]


@dataclass(frozen=True)
class Demonstration:
    """A conversation and the completion that the model learns to give."""

    messages: list[Message]
    completion: str


def read_demonstrations(path: Path, n: int | None = None) -> list[Demonstration]:
    rows = [_demonstration(row, f"{path}, row {number}") for number, row in read_rows(path)]
    if n is None or n >= len(rows):
        return rows
    return sorted(rows, key=lambda d: hash_share(content_id(d.messages), "limit"))[:n]


def _demonstration(row: Row, where: str) -> Demonstration:
    if row.get("messages") not in (None, ""):
        messages = conversation(row["messages"], where)
        if len(messages) < 2 or messages[-1]["role"] != "assistant":
            raise InputError(f"{where}: 'messages' of a demonstration must end with one of the assistant's")
        return Demonstration(messages[:-1], messages[-1]["content"])
    completion = row.get("completion")
    if isinstance(completion, list | tuple):
        answer = check_messages(list(completion), where)[-1]["content"]
        return Demonstration(prompt_messages(row, where), answer)
    return Demonstration(prompt_messages(row, where), need_text(row, "completion", where))
