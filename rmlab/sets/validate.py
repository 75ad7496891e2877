"""Checks that a folder is a complete and valid embedding set."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from rmlab.errors import RmlabError
from rmlab.sets.checklist import Check, Checklist, check_card, check_checksums, check_files, size_notes
from rmlab.sets.checks import (
    check_apart,
    check_embeddings,
    check_prompts,
    check_responses,
    check_scales,
    check_scores,
)
from rmlab.sets.read_tables import read_set_table
from rmlab.storage.set_record import (
    PROMPTS_FILE,
    RECORD,
    EmbeddingSet,
    embeddings_file,
    open_set,
    responses_file,
    scales_file,
    scores_file,
)
from rmlab.storage.set_schema import SET_PROMPTS, SET_RESPONSES, SET_SCORES
from rmlab.storage.table_schema import Table

T = TypeVar("T")
MEANING = {
    "record": f"{RECORD} is readable and of a known format",
    "card": "README.md and LICENSE name and hold the licence",
    "files": "every policy has responses, scores and vectors by every embedder; no other Parquet file",
    "checksums": f"files are those that {RECORD} was written with",
    "tables": "columns have the names and types of their tables, and no nulls",
    "prompts": "ids unique, conversations well formed; train and test share no prompt or group",
    "responses": "ids unique, prompts known, splits those of the prompts, tokens and probabilities in range",
    "scores": "every response has one finite score of every reward",
    "scales": "every dimension has one scale above 0",
    "embeddings": "every response has one vector of every embedder, in range and not all zeros",
}
_OF_TABLES = ("prompts", "responses", "scores", "scales", "embeddings")


def validate(folder: Path) -> Checklist:
    """Makes all checks, as far as each is possible; never raises, whatever the folder holds."""
    checks = {name: Check(name, meaning) for name, meaning in MEANING.items()}
    found = Checklist(str(folder), list(checks.values()))
    try:
        opened = open_set(folder)
    except RmlabError as error:
        checks["record"].fail(str(error))
        for check in found.checks[1:]:
            check.skipped = f"{RECORD} cannot be read"
        return found
    check_card(opened, checks["card"])
    check_files(opened, checks["files"])
    check_checksums(opened, checks["checksums"])
    _Tables(opened, checks).check()
    found.notes = size_notes(opened)
    return found


class _Tables:
    """The checks that read tables; those of an unreadable table are marked as skipped."""

    def __init__(self, opened: EmbeddingSet, checks: dict[str, Check]) -> None:
        self.opened, self.checks = opened, checks

    def check(self) -> None:
        prompts = self._read(PROMPTS_FILE, SET_PROMPTS)
        if prompts is None:
            for name in _OF_TABLES:
                self.checks[name].skipped = f"{PROMPTS_FILE} cannot be read"
            return
        check_prompts(self.opened, prompts, self.checks["prompts"])
        all_responses = {}
        for policy in self.opened.record.policies:
            responses = self._read(responses_file(policy.name), SET_RESPONSES)
            if responses is None:
                for name in _OF_TABLES[1:]:
                    self.checks[name].skipped = f"{responses_file(policy.name)} cannot be read"
                continue
            if responses.num_rows != policy.responses:
                self.checks["responses"].fail(
                    f"{responses_file(policy.name)} has {responses.num_rows:,} responses, "
                    f"but set.json says {policy.responses:,}"
                )
            check_responses(policy.name, responses, prompts, self.checks["responses"])
            all_responses[policy.name] = responses
            self._check_scores(policy.name, responses)
            self._check_vectors(policy.name, responses)
        check_apart(all_responses, self.checks["responses"])

    def _check_scores(self, policy: str, responses: pa.Table) -> None:
        scores = self._read(scores_file(policy), SET_SCORES)
        if scores is None:
            self.checks["scores"].skipped = f"{scores_file(policy)} cannot be read"
            return
        check_scores(policy, scores, responses, self.opened.names("rewards"), self.checks["scores"])

    def _check_vectors(self, policy: str, responses: pa.Table) -> None:
        folder = self.opened.folder
        for embedder in self.opened.record.embedders:
            name = scales_file(policy, embedder.name)
            look = partial(check_scales, folder, policy, embedder, check=self.checks["scales"])
            self._attempt(name, "scales", look)
            name = embeddings_file(policy, embedder.name)
            see = partial(
                check_embeddings, folder, policy, embedder, responses, check=self.checks["embeddings"]
            )
            self._attempt(name, "embeddings", see)

    def _read(self, name: str, table: Table) -> pa.Table | None:
        return self._attempt(
            name, "tables", lambda rows: read_set_table(self.opened.folder, name, table, rows)
        )

    def _attempt(self, name: str, check: str, look: Callable[[int], T]) -> T | None:
        """Calls `look` with the recorded number of rows; marks the check as skipped if that fails."""
        known = self.opened.record.files.get(name)
        if known is None or not (self.opened.folder / name).is_file():
            self.checks[check].skipped = f"{name} is not there"
            return None
        try:
            return look(known.rows)
        except RmlabError as error:
            self.checks["tables"].fail(str(error))
            self.checks[check].skipped = f"{name} cannot be read"
            return None
