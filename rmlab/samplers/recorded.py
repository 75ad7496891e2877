"""Samplers of recorded responses: from a user's file, or from the responses table of an embedding set."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from rmlab.config.settings import Columns, FormName, Sampling, TemplateName, Unusable
from rmlab.data.forms.items import Answers, open_answers
from rmlab.data.forms.judgements import AnswerIds, given_id, response_text
from rmlab.data.messages import prompt_messages
from rmlab.data.prompts import content_id
from rmlab.data.reader import Row, check_text, need_text, read_rows
from rmlab.errors import InputError
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Message
from rmlab.paths import user_path
from rmlab.samplers.base import OpenSampler, Sample, SamplingTask, Tick

_FILE_COLUMNS = ("response_id", "prompt_id", "prompt", "messages", "response")
_IDS = ("split", "prompt_id", "response_id")
_TABLE_COLUMNS = (*_IDS, "sample_index", "text", "n_tokens", "finish_reason", "logprob")
_LARGEST = 2**31 - 1
_Drawn = tuple[int, Sample]  # (sample_index, sample)


@dataclass(frozen=True)
class _Answer:
    """A response of a file."""

    text: str
    response_id: str
    is_given: bool  # whether the id is the file's


@dataclass(frozen=True)
class FileSampler:
    """Reads a file of any form. Scored rows have `response` and `prompt_id`, `prompt` or `messages`."""

    name: ClassVar[str] = "file"

    path: str = field(metadata={"source": True})
    form: FormName = "auto"
    unusable: Unusable = "error"
    columns: Columns = field(default_factory=dict)
    needs_model = False

    def open(self, folder: Path | None, template: TemplateName, compute: Compute) -> OpenSampler:
        path = user_path(self.path)
        answers = open_answers(path, self.form, self.unusable, self.columns)
        if answers is not None:
            return _FormSession(path, answers)
        return _ScoredSession(path, self.unusable, self.columns)


class _RecordedSession:
    """A sampler of recorded responses, which encodes no prompts."""

    context = 10**9
    template_hash = "file"

    def encode(self, messages: Sequence[Message]) -> list[int]:
        return [0]

    def cut(self, tokens: list[int], limit: int) -> list[int]:
        return tokens[-limit:]


class _FileSession(_RecordedSession, ABC):
    """Responses of a user's file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def generate(
        self, tasks: Sequence[SamplingTask], params: Sampling, seed: int, tick: Tick
    ) -> list[list[Sample]]:
        """Returns all responses that the file has for each prompt, whatever n is."""
        return [
            [Sample(text, -1, "imported", math.nan, response_id) for text, response_id in self._answers(task)]
            for task in tasks
        ]

    def _answers(self, task: SamplingTask) -> list[tuple[str, str | None]]:
        found = self.find(task)
        if found is None:
            raise InputError(f"{self.path}: no response for prompt {task.prompt_id}")
        return found

    @abstractmethod
    def find(self, task: SamplingTask) -> list[tuple[str, str | None]] | None:
        """Returns the texts and ids of the responses to a prompt, or None where the file has none."""


class _FormSession(_FileSession):
    """Responses of forms whose items have ids."""

    def __init__(self, path: Path, answers: Answers) -> None:
        super().__init__(path)
        self.answers = answers

    def find(self, task: SamplingTask) -> list[tuple[str, str | None]] | None:
        found = self.answers.answers(task.prompt_id)
        return None if found is None else [*found]


class _ScoredSession(_FileSession):
    """Responses of scored rows, whose prompts may be in another file, with the same ids or content."""

    def __init__(self, path: Path, unusable: Unusable, names: Columns) -> None:
        super().__init__(path)
        self.responses: dict[str, list[_Answer]] = {}
        seen: dict[str, int] = {}
        ids = AnswerIds()
        for number, row in read_rows(path, _FILE_COLUMNS, names):
            where = f"{path}, row {number}"
            given = given_id(row, "response_id", where)
            if given is not None and seen.setdefault(given, number) != number:
                raise InputError(f"{where}: response_id {given} repeats row {seen[given]}")
            key = given_id(row, "prompt_id", where) or content_id(prompt_messages(row, where))
            found = self.responses.setdefault(key, [])
            text = response_text(row, where, unusable)
            if text is not None:
                found.append(_Answer(text, given or ids.next(key, text), given is not None))

    def find(self, task: SamplingTask) -> list[tuple[str, str | None]] | None:
        if task.prompt_id in self.responses:
            return [(a.text, a.response_id) for a in self.responses[task.prompt_id]]
        # several prompts may have this content, so only ids that the file gives can be used
        found = self.responses.get(content_id(task.messages))
        if found is None:
            return None
        return [(a.text, a.response_id if a.is_given else None) for a in found]


@dataclass(frozen=True)
class ResponsesSampler:
    """Reads rows of the table `responses` (see TABLES.md) from a Parquet file; prompts may have none.

    test_path: a table of another policy, for transfer; then rows of split train are read from path and rows
    of split test from test_path.
    """

    name: ClassVar[str] = "responses"

    path: str = field(metadata={"source": True})
    test_path: str | None = field(default=None, metadata={"source": True})
    needs_model = False

    def open(self, folder: Path | None, template: TemplateName, compute: Compute) -> OpenSampler:
        if self.test_path is None:
            return _ResponsesSession({None: user_path(self.path)})
        return _ResponsesSession({"train": user_path(self.path), "test": user_path(self.test_path)})


class _ResponsesSession(_RecordedSession):
    """Responses of one or two tables."""

    def __init__(self, paths: Mapping[str | None, Path]) -> None:
        """Reads the tables. paths: the file by the split whose rows are read; None: all rows are."""
        self.responses: dict[str, list[_Drawn]] = {}
        seen: dict[str, str] = {}
        for split, path in paths.items():
            for number, row in read_rows(path, _TABLE_COLUMNS):
                where = f"{path}, row {number}"
                if split is not None and _split(row, where) != split:
                    continue
                drawn = _drawn(row, where)
                response_id = str(drawn[1].response_id)
                if (first := seen.setdefault(response_id, where)) != where:
                    raise InputError(f"{where}: response_id {response_id} repeats {_place(first, path)}")
                self.responses.setdefault(need_text(row, "prompt_id", where), []).append(drawn)

    def generate(
        self, tasks: Sequence[SamplingTask], params: Sampling, seed: int, tick: Tick
    ) -> list[list[Sample]]:
        """Returns all responses that the file has for each prompt, whatever n is."""
        found = [self.responses.get(task.prompt_id, []) for task in tasks]
        return [[sample for _, sample in sorted(drawn, key=lambda d: d[0])] for drawn in found]


def _split(row: Row, where: str) -> str:
    split = need_text(row, "split", where)
    if split not in ("train", "test"):
        raise InputError(f"{where}: 'split' must be train or test, got {split}")
    return split


def _place(where: str, path: Path) -> str:
    """Returns the row's place without its path if it is in the same file."""
    return where.removeprefix(f"{path}, ")


def _drawn(row: Row, where: str) -> _Drawn:
    """Parses a row of the table."""
    text = check_text(row.get("text"), "text", where, blank=True)
    index, n_tokens = (_whole(row.get(k), k, where) for k in ("sample_index", "n_tokens"))
    reason = need_text(row, "finish_reason", where)
    response_id = need_text(row, "response_id", where)
    return index, Sample(text, n_tokens, reason, _logprob(row.get("logprob"), where), response_id)


def _whole(value: object, column: str, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _LARGEST:
        raise InputError(f"{where}: '{column}' must be a whole number of 32 bits")
    return value


def _logprob(value: object, where: str) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{where}: 'logprob' must be a number, got {type(value).__name__}")
    try:
        return float(value)
    except OverflowError:
        raise InputError(f"{where}: 'logprob' is too large a number") from None
