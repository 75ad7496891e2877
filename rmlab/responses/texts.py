"""Responses with the messages they answer, for the stages that read texts."""

from __future__ import annotations

from bisect import bisect_left

import pyarrow as pa
import pyarrow.compute as pc

from rmlab.errors import InputError
from rmlab.models.text.rendering import Exchange, Message
from rmlab.storage.artifact import Artifact
from rmlab.storage.files import read_parquet


class Exchanges:
    """The responses of a sample, part by part; rows: of each part.

    All prompts are held as Arrow has them; only those of one part are made Python's, which take much more.
    """

    def __init__(self, prompts: Artifact, sample: Artifact) -> None:
        table = prompts.read(columns=["prompt_id", "messages"])
        self._prompt_ids, self._messages = table["prompt_id"], table["messages"]
        self._order = pc.sort_indices(self._prompt_ids).to_numpy()
        self.sample, self._parts = sample, sample.parts
        self.rows = sample.part_rows

    def read(self, part: int) -> list[Exchange]:
        path = self._parts[part]
        rows = read_parquet(path, ["prompt_id", "response_id", "text"])
        prompts = rows["prompt_id"].combine_chunks().dictionary_encode()
        ids = prompts.dictionary.to_pylist()
        found = pa.array([self._find(prompt_id) for prompt_id in ids], pa.int64())
        if found.null_count:
            raise InputError(f"{path}: prompt {ids[found.to_pylist().index(None)]} is not among the prompts")
        messages: list[list[Message]] = self._messages.take(found).to_pylist()
        columns = (prompts.indices.to_pylist(), rows["response_id"].to_pylist(), rows["text"].to_pylist())
        return [
            Exchange(ids[k], response_id, messages[k], text)
            for k, response_id, text in zip(*columns, strict=True)
        ]

    def _find(self, prompt_id: str) -> int | None:
        """The row of a prompt. Sorted rows take 8 bytes each, where a dictionary takes hundreds."""
        at = bisect_left(self._order, prompt_id, key=lambda row: self._prompt_ids[row].as_py())
        row = int(self._order[at]) if at < len(self._order) else None
        return row if row is not None and self._prompt_ids[row].as_py() == prompt_id else None
