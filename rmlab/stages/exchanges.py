"""Responses with the messages they answer: what annotate scores and embed embeds, the same for both."""

from __future__ import annotations

from collections.abc import Iterator

from rmlab.artifacts.artifact import Artifact
from rmlab.artifacts.files import read_parquet
from rmlab.errors import InputError
from rmlab.text import Exchange


def exchange_parts(prompts: Artifact, sample: Artifact) -> Iterator[tuple[int, Part]]:
    """(rows, part) for each part of the responses; a part is read when it is called."""
    table = prompts.read(columns=["prompt_id", "messages"]).to_pylist()
    messages = {row["prompt_id"]: row["messages"] for row in table}
    for record in sample.manifest.files:
        if record.name.startswith("part-"):
            yield record.rows, Part(sample, record.name, messages)


class Part:
    def __init__(self, sample: Artifact, name: str, messages: dict[str, list[dict[str, str]]]) -> None:
        self.path, self.messages = sample.path / name, messages

    def __call__(self) -> list[Exchange]:
        rows = read_parquet(self.path, ["prompt_id", "response_id", "text"]).to_pylist()
        for row in rows:
            if row["prompt_id"] not in self.messages:
                raise InputError(f"{self.path}: prompt {row['prompt_id']} is not among the prompts")
        return [
            Exchange(r["prompt_id"], r["response_id"], self.messages[r["prompt_id"]], r["text"]) for r in rows
        ]
