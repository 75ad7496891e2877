"""Responses that exist already: read from a user's file instead of drawn from a policy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rmlab.compute import Compute
from rmlab.data.messages import prompt_messages
from rmlab.data.prompts import content_id
from rmlab.data.reader import need_text, read_rows
from rmlab.errors import InputError
from rmlab.samplers.base import OpenSampler, Sample, Task, Tick
from rmlab.settings import Sampling, TemplateName
from rmlab.shipped import user_path
from rmlab.text import Message


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
        self.responses: dict[str, list[Sample]] = {}
        seen: dict[str, int] = {}
        for number, row in read_rows(path):
            where = f"{path}, row {number}"
            given = row.get("prompt_id")
            key = str(given) if given not in (None, "") else content_id(prompt_messages(row, where))
            response_id = None if row.get("response_id") is None else str(row["response_id"])
            if response_id is not None and seen.setdefault(response_id, number) != number:
                raise InputError(f"{where}: response_id {response_id} repeats row {seen[response_id]}")
            sample = Sample(need_text(row, "response", where), -1, "imported", math.nan, response_id)
            self.responses.setdefault(key, []).append(sample)

    def encode(self, messages: Sequence[Message]) -> list[int]:
        return [0]

    def cut(self, tokens: list[int], limit: int) -> list[int]:
        return tokens[-limit:]

    def generate(self, tasks: Sequence[Task], params: Sampling, seed: int, tick: Tick) -> list[list[Sample]]:
        """All responses that the file has for each prompt, whatever n says."""
        return [self._find(task) for task in tasks]

    def _find(self, task: Task) -> list[Sample]:
        for key in (task.prompt_id, content_id(task.messages)):
            if key in self.responses:
                return self.responses[key]
        raise InputError(f"{self.path}: no response for prompt {task.prompt_id}")
