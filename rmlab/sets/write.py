"""Writes the files of an embedding set into an empty folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from rmlab.errors import ConfigError, InputError
from rmlab.paths import home_path
from rmlab.pipeline import stages
from rmlab.sets.card import card
from rmlab.sets.gather import PolicySource, quantised
from rmlab.storage.artifact import Artifact
from rmlab.storage.digest import file_digest
from rmlab.storage.files import write_json, write_parquet, write_text
from rmlab.storage.set_record import (
    CARD,
    LICENSE,
    PROMPTS_FILE,
    RECORD,
    SetEmbedder,
    SetFile,
    SetPolicy,
    SetRecord,
    SetReward,
    SetTitle,
    Split,
    embeddings_file,
    fits,
    responses_file,
    scales_file,
    scores_file,
)
from rmlab.storage.set_schema import SET_PROMPTS

OF_POLICY = tuple(stage.name for stage in (stages.PROMPTS, stages.SFT, stages.SAMPLE))  # make the responses
_COMPARED = ("messages", "split", "group")


def write_set(folder: Path, sources: Sequence[PolicySource], words: Words) -> SetRecord:
    """Writes the artifacts of some policies as an embedding set."""
    rewards, embedders = shared(sources, "annotate"), shared(sources, "embed")
    prompts = join_prompts([(f"policy {source.name}", source.prompts) for source in sources])
    writer = SetWriter(folder)
    writer.table(PROMPTS_FILE, prompts)
    error: dict[str, dict[str, float]] = {name: {} for name in embedders}
    width: dict[str, int] = {}
    policies = []
    for source in sources:
        responses, scores, left_out = source.scored
        writer.table(responses_file(source.name), responses)
        writer.table(scores_file(source.name), scores)
        for name, embed in source.several("embed").items():
            found = quantised(responses, embed)
            writer.table(embeddings_file(source.name, name), found.embeddings)
            writer.table(scales_file(source.name, name), found.scales)
            error[name][source.name], width[name] = found.error, found.scales.num_rows
        policies.append(_policy(source, responses.num_rows, left_out))
    record = SetRecord(
        format=1,
        name=words.name,
        license=words.license,
        prompts=count_splits(prompts),
        policies=policies,
        rewards=[SetReward(name=name, made_by=how) for name, how in rewards.items()],
        embedders=[
            SetEmbedder(name=name, dimension=width[name], storage="int8", made_by=how, error=error[name])
            for name, how in embedders.items()
        ],
        files=writer.files,
    )
    writer.finish(record, words)
    return record


def _policy(source: PolicySource, responses: int, left_out: int) -> SetPolicy:
    return SetPolicy(
        name=source.name,
        responses=responses,
        left_out=left_out,
        made_by=policy_made_by(source),
        lineage=lineage(source),
    )


def policy_made_by(source: PolicySource) -> dict[str, Any]:
    found = {stage: made_by(source.artifacts[stage]) for stage in OF_POLICY if stage in source.artifacts}
    return {**found, "versions": source.artifacts["sample"].manifest.versions}


def made_by(artifact: Artifact) -> dict[str, Any]:
    """The settings of a stage, and the files and models that it read, by name without folder."""
    outside = [i for i in artifact.manifest.inputs if i.kind != "artifact"]
    sources = {i.role: {"name": _name(i.name), "identity": i.fingerprint} for i in outside}
    return {"config": artifact.manifest.config, "sources": sources}


def _name(name: str) -> str:
    return Path(name).name if home_path(name).is_absolute() else name


def lineage(source: PolicySource) -> dict[str, str]:
    return {role: artifact.manifest.fingerprint for role, artifact in source.artifacts.items()}


def shared(sources: Sequence[PolicySource], stage: str) -> dict[str, dict[str, Any]]:
    """The result of `made_by` for each golden reward or embedder, which must be equal for all policies."""
    first, *others = sources
    found = {name: made_by(artifact) for name, artifact in first.several(stage).items()}
    for other in others:
        theirs = {name: made_by(artifact) for name, artifact in other.several(stage).items()}
        for name in {**found, **theirs}:
            if found.get(name) != theirs.get(name):
                raise InputError(
                    f"{stage} {name} is not the same for policies {first.name} and {other.name}; "
                    "all policies of a set share their rewards and embedders"
                )
    return found


def join_prompts(parts: Iterable[tuple[str, pa.Table]]) -> pa.Table:
    """Joins tables of prompts: train prompts, then test prompts, each once. parts: (source, table).

    Raises an InputError if two different prompts have the same id.
    """
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for place, table in parts:
        for row in table.select(SET_PROMPTS.schema.names).to_pylist():
            other, known = found.setdefault(row["prompt_id"], (place, row))
            for column in _COMPARED:
                if known[column] != row[column]:
                    raise InputError(
                        f"prompt {row['prompt_id']} has another {column} in {place} than in {other}; "
                        "they are different prompts: give one of them another prompt_id"
                    )
    rows = [row for _, row in found.values()]
    rows.sort(key=lambda row: row["split"] != "train")
    return pa.Table.from_pylist(rows, schema=SET_PROMPTS.schema)


def count_splits(prompts: pa.Table) -> dict[Split, int]:
    splits = prompts["split"].to_pylist()
    return {"train": splits.count("train"), "test": splits.count("test")}


@dataclass(frozen=True)
class Words:
    """The texts of a set. license: SPDX name; license_text: the content of the file LICENSE."""

    name: str
    license: str
    license_text: str
    description: str = ""

    def __post_init__(self) -> None:
        """Raises a ConfigError, before anything is made, if set.json cannot hold a text."""
        for what, value in (("name", self.name), ("licence", self.license)):
            if not value.strip() or not fits(SetTitle, value):
                raise ConfigError(
                    f"the {what} of a set must have 1 to 100 characters; {value[:120]!r} does not"
                )
        if not self.license_text.strip():
            raise ConfigError("the file of the licence is empty; put the licence's text there")


@dataclass
class SetWriter:
    """Writes tables and collects their checksums."""

    folder: Path
    files: dict[str, SetFile] = field(default_factory=dict)

    def table(self, name: str, data: pa.Table) -> None:
        write_parquet(self.folder / name, data.combine_chunks())  # so that bytes do not depend on chunks
        self.known(name, data.num_rows)

    def known(self, name: str, rows: int) -> None:
        """Adds a file that is already in the folder."""
        file = self.folder / name
        self.files[name] = SetFile(bytes=file.stat().st_size, sha256=file_digest(file), rows=rows)

    def finish(self, record: SetRecord, words: Words) -> None:
        write_text(self.folder / CARD, card(record, words.description))
        write_text(self.folder / LICENSE, words.license_text)
        write_json(self.folder / RECORD, record.to_json())
