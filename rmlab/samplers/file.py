"""Responses that exist already: read from a user's file instead of drawn from a policy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from rmlab.compute import Compute
from rmlab.data.forms.answers import Answers, open_answers
from rmlab.data.forms.scored import AnswerIds, given_id, response_text
from rmlab.data.messages import prompt_messages
from rmlab.data.prompts import content_id
from rmlab.data.reader import read_rows
from rmlab.errors import InputError
from rmlab.samplers.base import OpenSampler, Sample, Task, Tick
from rmlab.settings import FormName, Sampling, TemplateName, Unusable
from rmlab.shipped import user_path
from rmlab.text import Message

_FILE_COLUMNS = ("response_id", "prompt_id", "prompt", "messages", "response")


@dataclass(frozen=True)
class _Answer:
    text: str
    response_id: str
    is_given: bool  # the id, by the file


@dataclass(frozen=True)
class FileSampler:
    """path: of any form; scored rows have `response` and `prompt_id`, `prompt` or `messages`."""

    name: ClassVar[str] = "file"

    path: str = field(metadata={"source": True})
    form: FormName = "auto"
    unusable: Unusable = "error"
    needs_model = False

    def open(self, folder: Path | None, template: TemplateName, compute: Compute) -> OpenSampler:
        path = user_path(self.path)
        answers = open_answers(path, self.form, self.unusable)
        return _Forms(path, answers) if answers is not None else _Scored(path, self.unusable)


class _FileSession:
    context = 10**9
    template_hash = "file"

    def __init__(self, path: Path) -> None:
        self.path = path

    def encode(self, messages: Sequence[Message]) -> list[int]:
        return [0]

    def cut(self, tokens: list[int], limit: int) -> list[int]:
        return tokens[-limit:]

    def generate(self, tasks: Sequence[Task], params: Sampling, seed: int, tick: Tick) -> list[list[Sample]]:
        """All responses that the file has for each prompt, whatever n says."""
        return [
            [Sample(text, -1, "imported", math.nan, response_id) for text, response_id in self._answers(task)]
            for task in tasks
        ]

    def _answers(self, task: Task) -> list[tuple[str, str | None]]:
        found = self.find(task)
        if found is None:
            raise InputError(f"{self.path}: no response for prompt {task.prompt_id}")
        return found

    def find(self, task: Task) -> list[tuple[str, str | None]] | None:
        raise NotImplementedError


class _Forms(_FileSession):
    """Of forms whose items have ids of their own."""

    def __init__(self, path: Path, answers: Answers) -> None:
        super().__init__(path)
        self.answers = answers

    def find(self, task: Task) -> list[tuple[str, str | None]] | None:
        found = self.answers.answers(task.prompt_id)
        return None if found is None else [*found]


class _Scored(_FileSession):
    """Of scored rows, whose prompts may be in another file, under the same ids or with the same content."""

    def __init__(self, path: Path, unusable: Unusable) -> None:
        super().__init__(path)
        self.responses: dict[str, list[_Answer]] = {}
        seen: dict[str, int] = {}
        ids = AnswerIds()
        for number, row in read_rows(path, _FILE_COLUMNS):
            where = f"{path}, row {number}"
            given = given_id(row, "response_id", where)
            if given is not None and seen.setdefault(given, number) != number:
                raise InputError(f"{where}: response_id {given} repeats row {seen[given]}")
            key = given_id(row, "prompt_id", where) or content_id(prompt_messages(row, where))
            found = self.responses.setdefault(key, [])
            text = response_text(row, where, unusable)
            if text is not None:
                found.append(_Answer(text, given or ids.next(key, text), given is not None))

    def find(self, task: Task) -> list[tuple[str, str | None]] | None:
        if task.prompt_id in self.responses:
            return [(a.text, a.response_id) for a in self.responses[task.prompt_id]]
        # several prompts may have this content: only ids that the file gives are theirs
        found = self.responses.get(content_id(task.messages))
        if found is None:
            return None
        return [(a.text, a.response_id if a.is_given else None) for a in found]
