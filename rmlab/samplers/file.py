"""Responses that exist already: read from a user's file instead of drawn from a policy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rmlab.compute import Compute
from rmlab.data.messages import prompt_messages
from rmlab.data.prompts import content_id
from rmlab.data.reader import Row, need_text, read_rows
from rmlab.errors import InputError
from rmlab.samplers.base import OpenSampler, Sample, Task, Tick
from rmlab.settings import Sampling, TemplateName
from rmlab.shipped import user_path
from rmlab.text import Message

_COLUMNS = ("response_id", "prompt_id", "prompt", "messages", "response")
_Answer = tuple[str, str | None]  # text and response_id


@dataclass(frozen=True)
class FileSampler:
    """path: rows with `response` and `prompt_id`, `prompt` or `messages`; response_id is optional."""

    path: str = field(metadata={"source": True})
    needs_model = False

    def open(self, folder: Path | None, template: TemplateName, compute: Compute) -> OpenSampler:
        return _Session(user_path(self.path))


class _Session:
    context = 10**9
    template_hash = "file"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.responses: dict[str, list[_Answer]] = {}
        seen: dict[str, int] = {}
        for number, row in read_rows(path, _COLUMNS):
            where = f"{path}, row {number}"
            response_id = _given(row, "response_id")
            if response_id is not None and seen.setdefault(response_id, number) != number:
                raise InputError(f"{where}: response_id {response_id} repeats row {seen[response_id]}")
            key = _given(row, "prompt_id") or content_id(prompt_messages(row, where))
            self.responses.setdefault(key, []).append((need_text(row, "response", where), response_id))

    def encode(self, messages: Sequence[Message]) -> list[int]:
        return [0]

    def cut(self, tokens: list[int], limit: int) -> list[int]:
        return tokens[-limit:]

    def generate(self, tasks: Sequence[Task], params: Sampling, seed: int, tick: Tick) -> list[list[Sample]]:
        """All responses that the file has for each prompt, whatever n says."""
        return [
            [Sample(text, -1, "imported", math.nan, response_id) for text, response_id in self._find(task)]
            for task in tasks
        ]

    def _find(self, task: Task) -> list[_Answer]:
        found = self.responses.get(task.prompt_id) or self.responses.get(content_id(task.messages))
        if found is None:
            raise InputError(f"{self.path}: no response for prompt {task.prompt_id}")
        return found


def _given(row: Row, column: str) -> str | None:
    """An id as text; a CSV file leaves a field empty where there is none."""
    value = row.get(column)
    return None if value is None or value == "" else str(value)
