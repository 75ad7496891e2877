"""Responses of some splits with golden scores, joined by response_id."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmlab.artifacts.artifact import Artifact
from rmlab.comparisons import Pool
from rmlab.errors import InputError


@dataclass(frozen=True)
class Responses:
    """ids, prompt_ids: [m] text; group: [m] int64 number of the prompt; golden: [m] float64;
    is_test: [m] whether the prompt is a test prompt. n_failed: how many are not here since they have no
    golden score. split_groups: [m] text, the group of the prompt, of which a split has all or nothing; empty:
    each prompt is its own."""

    ids: np.ndarray
    prompt_ids: np.ndarray
    golden: np.ndarray
    group: np.ndarray
    is_test: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=bool))
    n_failed: int = 0
    split_groups: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=object))

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: np.ndarray) -> Responses:
        is_test = self.is_test[rows] if len(self.is_test) else self.is_test
        kin = self.split_groups[rows] if len(self.split_groups) else self.split_groups
        columns = (self.ids[rows], self.prompt_ids[rows], self.golden[rows], self.group[rows])
        return Responses(*columns, is_test, split_groups=kin)

    @property
    def pool(self) -> Pool:
        return Pool(self.golden, self.group)

    def of_groups(self, wanted: Set[str]) -> np.ndarray:
        """[m] whether the response answers a prompt of one of these groups."""
        _, first = np.unique(self.group, return_index=True)
        member = np.zeros(int(self.group.max()) + 1, dtype=bool)
        member[self.group[first]] = [group in wanted for group in self.distinct_groups]
        return member[self.group]

    @property
    def distinct_prompts(self) -> list[str]:
        _, first = np.unique(self.group, return_index=True)
        return [str(p) for p in self.prompt_ids[first]]

    @property
    def distinct_groups(self) -> list[str]:
        """The split group of each distinct prompt, in the order of distinct_prompts."""
        if not len(self.split_groups):
            return self.distinct_prompts
        _, first = np.unique(self.group, return_index=True)
        return [str(g) for g in self.split_groups[first]]


def read_responses(sample: Artifact, annotate: Artifact, splits: Sequence[str]) -> Responses:
    """Rows in the order of their ids, so that nothing depends on the order of a file.

    Responses that the golden reward failed on are left out, as if they had not been sampled.
    """
    table = sample.read(columns=["response_id", "prompt_id", "split", "group"])
    table = table.filter(pc.field("split").isin(list(splits))).sort_by("response_id")
    if table.num_rows == 0:
        raise InputError(f"{sample.path}: no responses of the {' or '.join(splits)} prompts")
    scores = annotate.read(columns=["response_id", "score"])
    rows = positions(table["response_id"], scores["response_id"], f"{annotate.path}: no score for")
    golden = scores["score"].to_numpy()[rows]
    scored = np.isfinite(golden)
    n_failed = int((~scored).sum())
    if n_failed:
        known = set(pc.unique(table["split"]).to_pylist())
        table, golden = table.filter(pa.array(scored)), golden[scored]
        _check_splits(annotate, table, known)
    return Responses(
        ids=table["response_id"].to_numpy(),
        prompt_ids=table["prompt_id"].to_numpy(),
        golden=golden,
        group=_groups(table["prompt_id"]),
        is_test=pc.equal(table["split"], "test").to_numpy(),
        n_failed=n_failed,
        split_groups=_split_groups(table),
    )


def _split_groups(table: pa.Table) -> np.ndarray:
    """None where each prompt is a group of its own, as most are."""
    if pc.all(pc.equal(table["group"], table["prompt_id"])).as_py():
        return np.empty(0, dtype=object)
    return table["group"].to_numpy()


def _check_splits(annotate: Artifact, scored: pa.Table, known: Set[str]) -> None:
    for split in sorted(known - set(pc.unique(scored["split"]).to_pylist())):
        raise InputError(
            f"{annotate.path}: the golden reward failed on every response of the {split} prompts; "
            "its column failure says why"
        )


def _groups(prompt_ids: pa.ChunkedArray) -> np.ndarray:
    """[m] int64 number of each prompt among the sorted ones."""
    encoded = prompt_ids.combine_chunks().dictionary_encode()
    rank = np.empty(len(encoded.dictionary), dtype=np.int64)
    rank[pc.array_sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(rank))
    return rank[encoded.indices.to_numpy()]


def positions(wanted: pa.ChunkedArray, known: pa.ChunkedArray, missing: str) -> np.ndarray:
    """Where each wanted id stands among the known ones; InputError if one does not."""
    if len(known) != len(pc.unique(known)):
        raise InputError(
            f"{missing.split(':', maxsplit=1)[0]}: response ids repeat; run its stage again with --force"
        )
    found = pc.index_in(wanted, value_set=pc.cast(known, wanted.type).combine_chunks())
    if found.null_count:
        first = wanted.filter(pc.is_null(found))[0].as_py()
        raise InputError(f"{missing} {found.null_count} responses, such as {first}; run that stage again")
    return found.to_numpy()
