"""Merges embedding sets into a study: all their policies, each with every reward and embedder."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from rmlab.errors import InputError
from rmlab.sets.read_tables import read_set_table
from rmlab.sets.write import SetWriter, Words, count_splits, join_prompts
from rmlab.storage.set_record import (
    PROMPTS_FILE,
    EmbeddingSet,
    SetEmbedder,
    SetPolicy,
    SetRecord,
    SetReward,
    embeddings_file,
    responses_file,
    scales_file,
    scores_file,
)
from rmlab.storage.set_schema import SET_PROMPTS, SET_RESPONSES, SET_SCALES, SET_SCORES, set_embeddings
from rmlab.storage.table_schema import Table

Part = TypeVar("Part", SetReward, SetEmbedder)


def merge(folder: Path, sets: Sequence[EmbeddingSet], words: Words) -> SetRecord:
    """Writes the study of valid sets into an empty folder; raises an InputError if the sets conflict."""
    study = _Study()
    for opened in sets:
        study.add(opened)
    study.check_complete()
    tables = [(str(s.folder), read_typed(s.folder / PROMPTS_FILE, SET_PROMPTS)) for s in sets]
    prompts = join_prompts(tables)
    writer = SetWriter(folder)
    writer.table(PROMPTS_FILE, prompts)
    for policy in study.policies:
        _write_policy(writer, policy, study)
    record = SetRecord(
        format=1,
        name=words.name,
        license=words.license,
        prompts=count_splits(prompts),
        policies=[p.record.model_copy(update={"name": p.name}) for p in study.policies],
        rewards=list(study.rewards.values()),
        embedders=[
            e.model_copy(update={"error": {p.name: p.vectors[name].error for p in study.policies}})
            for name, e in study.embedders.items()
        ],
        files=writer.files,
    )
    writer.finish(record, words)
    return record


@dataclass
class _Study:
    policies: list[_Policy] = field(default_factory=list)
    rewards: dict[str, SetReward] = field(default_factory=dict)
    embedders: dict[str, SetEmbedder] = field(default_factory=dict)

    def add(self, opened: EmbeddingSet) -> None:
        for reward in opened.record.rewards:
            _same("reward", self.rewards, reward, opened)
        for embedder in opened.record.embedders:
            _same("embedder", self.embedders, embedder, opened)
        for policy in opened.record.policies:
            merged = self._policy(opened, policy)
            _add_scores(merged, opened, policy.name)
            _add_vectors(merged, opened, policy.name)

    def _policy(self, opened: EmbeddingSet, policy: SetPolicy) -> _Policy:
        """The policy of the study with the same responses, or else a new one."""
        checksum = opened.record.files[responses_file(policy.name)].sha256
        responses = opened.folder / responses_file(policy.name)
        for known in self.policies:
            if known.checksum == checksum or same_rows(
                known.responses, responses, SET_RESPONSES, "response_id"
            ):
                lineage = policy.lineage | known.record.lineage
                known.record = known.record.model_copy(update={"lineage": lineage})
                return known
        name = self._free_name(policy.name, opened.record.name)
        self.policies.append(_Policy(name, opened.folder, policy, responses, checksum))
        return self.policies[-1]

    def _free_name(self, name: str, set_name: str) -> str:
        """The policy's own name, or if that is taken, with its set's name and perhaps a number behind it."""
        taken = {policy.name.lower() for policy in self.policies}
        longer = f"{name}_{re.sub(r'[^A-Za-z0-9_.]+', '_', set_name)}"[:50]
        numbered = (f"{longer}_{n}" for n in range(2, len(taken) + 3))
        return next(n for n in (name, longer, *numbered) if n.lower() not in taken)

    def check_complete(self) -> None:
        for policy in self.policies:
            for kind, wanted, has in (
                ("reward", self.rewards, policy.scores),
                ("embedder", self.embedders, policy.vectors),
            ):
                for name in wanted:
                    if name not in has:
                        raise InputError(
                            f"policy {policy.record.name} of {policy.place} has no {kind} {name}, which "
                            f"another set has; a study has every {kind} for every policy"
                        )


@dataclass
class _Policy:
    """A policy of the study, from one set, or from several that have the same responses."""

    name: str
    place: Path
    record: SetPolicy
    responses: Path
    checksum: str
    scores: dict[str, pa.Table] = field(default_factory=dict)
    vectors: dict[str, _Vectors] = field(default_factory=dict)


@dataclass(frozen=True)
class _Vectors:
    """The vectors of one policy by one embedder: files, checksums, and error of the 8-bit values."""

    embeddings: Path
    scales: Path
    checksums: list[str]
    error: float

    def is_same(self, other: _Vectors, dimension: int) -> bool:
        return self.checksums == other.checksums or (
            same_rows(self.scales, other.scales, SET_SCALES, "dimension")
            and same_rows(self.embeddings, other.embeddings, set_embeddings(dimension), "response_id")
        )


def _same(kind: str, known: dict[str, Part], part: Part, opened: EmbeddingSet) -> None:
    """Raises an InputError if a reward or embedder of the same name was made differently in another set."""
    other = known.setdefault(part.name, part)
    if other.model_dump(exclude={"error"}) != part.model_dump(exclude={"error"}):
        raise InputError(
            f"{kind} {part.name} of {opened.folder} was not made like that of the sets before it; "
            "only one of them can be in a study, or rename one when you release it"
        )


def _add_scores(merged: _Policy, opened: EmbeddingSet, policy: str) -> None:
    table = read_typed(opened.folder / scores_file(policy), SET_SCORES)
    for reward in opened.names("rewards"):
        part = table.filter(pc.equal(table["reward"], reward))
        known = merged.scores.setdefault(reward, part)
        if not known.sort_by("response_id").equals(part.sort_by("response_id")):
            raise InputError(
                f"{opened.folder} has other scores of {reward} for policy {policy} than "
                f"{merged.place}; they cannot both be right"
            )


def _add_vectors(merged: _Policy, opened: EmbeddingSet, policy: str) -> None:
    for embedder in opened.record.embedders:
        names = embeddings_file(policy, embedder.name), scales_file(policy, embedder.name)
        checksums = [opened.record.files[name].sha256 for name in names]
        embeddings, scales = (opened.folder / name for name in names)
        found = _Vectors(embeddings, scales, checksums, embedder.error.get(policy, 0.0))
        if not merged.vectors.setdefault(embedder.name, found).is_same(found, embedder.dimension):
            raise InputError(
                f"{opened.folder} has other vectors by {embedder.name} for policy {policy} than "
                f"{merged.place}; they cannot both be right"
            )


def same_rows(one: Path, other: Path, table: Table, key: str) -> bool:
    """True if two files have equal rows in any order. key: a unique column; NaN equals NaN."""
    ids = [read_typed(file, table, [key])[key] for file in (one, other)]
    orders = [pc.sort_indices(column) for column in ids]
    if not ids[0].take(orders[0]).equals(ids[1].take(orders[1])):
        return False  # so most files that differ are never read whole
    columns = [name for name in table.schema.names if name != key]
    first, second = (
        read_typed(file, table, columns).take(order) for file, order in zip((one, other), orders, strict=True)
    )
    return all(_equal(first[name], second[name]) for name in columns)


def _equal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    if pa.types.is_floating(one.type):
        nan, other_nan = pc.is_nan(one), pc.is_nan(other)
        if not nan.equals(other_nan):
            return False
        one, other = one.filter(pc.invert(nan)), other.filter(pc.invert(nan))
    return bool(one.equals(other))


def read_typed(file: Path, table: Table, columns: Sequence[str] | None = None) -> pa.Table:
    """Columns of a valid file, or all, in the order and with the types of their table."""
    return read_set_table(file.parent, file.name, table, columns=columns)


def _write_policy(writer: SetWriter, policy: _Policy, study: _Study) -> None:
    _copy(writer, policy.responses, responses_file(policy.name), policy.record.responses)
    writer.table(scores_file(policy.name), pa.concat_tables(policy.scores[name] for name in study.rewards))
    for name, embedder in study.embedders.items():
        vectors = policy.vectors[name]
        _copy(writer, vectors.embeddings, embeddings_file(policy.name, name), policy.record.responses)
        _copy(writer, vectors.scales, scales_file(policy.name, name), embedder.dimension)


def _copy(writer: SetWriter, source: Path, name: str, rows: int) -> None:
    shutil.copyfile(source, writer.folder / name)
    writer.known(name, rows)
