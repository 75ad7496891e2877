"""Responses of some splits with golden scores, joined by response_id."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmlab.comparisons import Pool
from rmlab.errors import InputError
from rmlab.storage.artifact import Artifact

_COLUMNS = ["response_id", "prompt_id", "group", "split"]


@dataclass(frozen=True)
class Responses:
    """ids, prompt_ids: [m] text; golden: [m] float64; group: [m] number of the prompt; is_test: [m] it is of
    a test prompt; n_failed: how many are not here since they have no golden score. split_groups: [m] text,
    the group of the prompt, of which a split has all or nothing; None: each prompt is its own."""

    ids: pa.Array
    prompt_ids: pa.Array
    golden: np.ndarray
    group: np.ndarray
    is_test: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=bool))
    n_failed: int = 0
    split_groups: pa.Array | None = None

    def __len__(self) -> int:
        return len(self.golden)

    def take(self, rows: np.ndarray) -> Responses:
        is_test = self.is_test[rows] if len(self.is_test) else self.is_test
        groups = None if self.split_groups is None else self.split_groups.take(rows)
        ids, prompt_ids = self.ids.take(rows), self.prompt_ids.take(rows)
        return Responses(ids, prompt_ids, self.golden[rows], self.group[rows], is_test, split_groups=groups)

    @property
    def pool(self) -> Pool:
        return Pool(self.golden, self.group)

    def of_groups(self, wanted: Set[str]) -> np.ndarray:
        """[m] whether the response answers a prompt of one of these groups."""
        member = np.zeros(int(self.group.max()) + 1, dtype=bool)
        member[self.group[self._one_of_each]] = [group in wanted for group in self.distinct_groups]
        return member[self.group]

    @property
    def _one_of_each(self) -> np.ndarray:
        """A row of each distinct prompt, by the number of the prompt."""
        row = np.full(int(self.group.max(initial=-1)) + 1, -1)
        row[self.group] = np.arange(len(self))
        return row[row >= 0]

    @property
    def distinct_prompts(self) -> list[str]:
        return self.prompt_ids.take(self._one_of_each).tolist()

    @property
    def distinct_groups(self) -> list[str]:
        """The split group of each distinct prompt, in the order of distinct_prompts."""
        groups = self.prompt_ids if self.split_groups is None else self.split_groups
        return groups.take(self._one_of_each).tolist()


def read_responses(sample: Artifact, annotate: Artifact, splits: Sequence[str]) -> Responses:
    """Rows in the order of their ids, so that nothing depends on the order of a file; prompts are numbered in
    the order of theirs.

    Responses that the golden reward failed on are left out, as if they had not been sampled.
    """
    table = _read_coded(sample, splits)
    if len(table) == 0:
        raise InputError(f"{sample.path}: no responses of the {' or '.join(splits)} prompts")
    ids = table["response_id"].combine_chunks()
    if pc.any(pc.equal(ids[1:], ids[:-1])).as_py():
        raise InputError(f"{sample.path}: response ids repeat; run its stage again with --force")
    golden = golden_of(annotate, ids)
    scored, is_test = np.isfinite(golden), pc.equal(table["split"], "test").to_numpy()
    _check_scored(annotate, "test", is_test, scored)
    _check_scored(annotate, "train", ~is_test, scored)
    n_failed = int((~scored).sum())
    if n_failed:
        table, golden, is_test = table.filter(pa.array(scored)), golden[scored], is_test[scored]
    ids, prompts, groups = (table[name].combine_chunks() for name in _COLUMNS[:3])
    prompts, groups = _ascending(prompts), _ascending(groups)
    is_alone = prompts.equals(groups)
    number = prompts.indices.to_numpy()
    return Responses(ids, prompts, golden, number, is_test, n_failed, None if is_alone else groups)


def _read_coded(sample: Artifact, splits: Sequence[str]) -> pa.Table:
    """The responses of some splits in ascending order of their ids; all but the ids as dictionaries."""
    wanted, parts = pc.field("split").isin(list(splits)), []
    for part in sample.stream(_COLUMNS):
        some = part.filter(wanted)
        coded = {name: some[name].dictionary_encode() for name in _COLUMNS[1:]}
        parts.append(pa.table({"response_id": some["response_id"], **coded}))
    table = pa.concat_tables(parts).unify_dictionaries().combine_chunks()
    return table.take(pc.sort_indices(table["response_id"]))


def _ascending(column: pa.DictionaryArray) -> pa.DictionaryArray:
    """The column with its distinct texts numbered in ascending order, without a gap."""
    number = column.indices.to_numpy()
    used = np.flatnonzero(np.bincount(number, minlength=len(column.dictionary)))
    names = column.dictionary.take(used)
    order = pc.array_sort_indices(names).to_numpy()
    rank = np.empty(len(column.dictionary), np.int32)
    rank[used[order]] = np.arange(len(used))
    return pa.DictionaryArray.from_arrays(pa.array(rank[number]), names.take(order))


def _check_scored(annotate: Artifact, split: str, here: np.ndarray, scored: np.ndarray) -> None:
    """InputError where the golden reward scored no response of a split that has some. here, scored: [m]."""
    if here.any() and not scored[here].any():
        raise InputError(
            f"{annotate.path}: the golden reward failed on every response of the {split} prompts; "
            "its column failure says why"
        )


def golden_of(annotate: Artifact, ids: pa.Array) -> np.ndarray:
    """[m] golden scores, NaN where the reward failed; InputError if a response has no row, or two."""
    golden = np.empty(len(ids))
    rows = rows_by_part(ids, annotate, f"{annotate.path}: no score for")
    for row, part in zip(rows, annotate.stream(["score"]), strict=True):
        golden[row[row >= 0]] = part["score"].to_numpy()[row >= 0]
    return golden


def rows_by_part(ids: pa.Array, artifact: Artifact, missing: str) -> list[np.ndarray]:
    """For each part of an artifact, [rows of the part] int32 the place of each row among the ids, -1 where it
    is not; InputError if an id has no row, or two."""
    parts = list(artifact.stream(["response_id"]))
    known = pa.concat_tables(parts)["response_id"].cast(ids.type)
    row = pc.fill_null(pc.index_in(known, value_set=ids), -1).to_numpy()
    n_rows = np.bincount(row[row >= 0], minlength=len(ids))
    if (n_rows > 1).any():
        raise InputError(f"{artifact.path}: response ids repeat; run its stage again with --force")
    if n := int((n_rows == 0).sum()):
        first = ids[int(n_rows.argmin())].as_py()
        raise InputError(f"{missing} {n} responses, such as {first}; run that stage again with --force")
    return np.split(row, np.cumsum([len(part) for part in parts])[:-1])


def positions(wanted: pa.Array | pa.ChunkedArray, known: pa.ChunkedArray, missing: str) -> np.ndarray:
    """The place of each wanted id among the known ones, [n]; InputError if one is not there."""
    if len(known) != len(pc.unique(known)):
        raise InputError(
            f"{missing.split(':', maxsplit=1)[0]}: response ids repeat; run its stage again with --force"
        )
    found = pc.index_in(wanted, value_set=pc.cast(known, wanted.type).combine_chunks())
    if found.null_count:
        first = wanted.filter(pc.is_null(found))[0].as_py()
        raise InputError(f"{missing} {found.null_count} responses, such as {first}; run that stage again")
    return found.to_numpy()
