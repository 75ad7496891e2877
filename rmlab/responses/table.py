"""Responses of some splits with golden scores, joined by response_id and held in few bytes each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmlab.comparisons import Pool
from rmlab.errors import InputError
from rmlab.responses.ids import Ids, check_unique
from rmlab.storage.artifact import Artifact


@dataclass(frozen=True, eq=False)
class Names:
    """names: [P] text; number: [m] row of names."""

    names: pa.Array
    number: np.ndarray

    def __len__(self) -> int:
        return len(self.number)

    def __iter__(self) -> Iterator[str]:
        names = self.names.to_pylist()
        return (names[k] for k in self.number)

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        """Text, in the shape of the rows; one object for all rows of a name."""
        number = self.number[rows]
        distinct, place = np.unique(number, return_inverse=True)
        return self.names.take(pa.array(distinct)).to_numpy(zero_copy_only=False)[place.reshape(number.shape)]

    def text(self, rows: np.ndarray | slice) -> pa.Array:
        return self.names.take(pa.array(self.number[rows]))


@dataclass(frozen=True, eq=False)
class PromptOfRows:
    """The prompts of many rows. names: [P] their ids, ascending; groups: [P] the group of each;
    number: [m] int32 the prompt of each row."""

    names: pa.Array
    groups: pa.Array
    number: np.ndarray

    @classmethod
    def of(cls, parts: Iterable[pa.Table], n: int) -> PromptOfRows:
        """parts: n rows of prompt_id and group, all of a prompt with the same group."""
        number = np.empty(n, np.int32)
        names, groups, first, known = [pa.array([], pa.string())], [pa.array([], pa.string())], 0, 0
        for part in parts:
            coded = part["prompt_id"].combine_chunks().dictionary_encode()
            code, n_here = coded.indices.to_numpy(), len(coded.dictionary)
            example = np.empty(n_here, np.int64)
            example[code] = np.arange(len(code))
            number[first : first + len(code)] = code + known
            names.append(coded.dictionary)
            groups.append(part["group"].combine_chunks().take(pa.array(example)))
            first, known = first + len(code), known + n_here
        return cls(pa.concat_arrays(names), pa.concat_arrays(groups), number)._ascending()

    def _ascending(self) -> PromptOfRows:
        """Each name once, though it may be in several parts."""
        coded = self.names.dictionary_encode()
        code = coded.indices.to_numpy()
        order = pc.array_sort_indices(coded.dictionary).to_numpy()
        rank, example = np.empty((2, len(order)), np.int64)
        rank[order] = np.arange(len(order))
        example[code] = np.arange(len(code))
        names, groups = coded.dictionary.take(pa.array(order)), self.groups.take(pa.array(example[order]))
        return PromptOfRows(names, groups, rank[code].astype(np.int32)[self.number])

    def take(self, rows: np.ndarray) -> PromptOfRows:
        """Those of some rows, numbered anew."""
        number = self.number[rows]
        is_there = np.zeros(len(self.names), dtype=bool)
        is_there[number] = True
        new = (np.cumsum(is_there) - 1).astype(np.int32)
        kept = pa.array(is_there)
        return PromptOfRows(self.names.filter(kept), self.groups.filter(kept), new[number])

    @property
    def ids(self) -> Names:
        return Names(self.names, self.number)

    @property
    def group_names(self) -> Names | None:
        """None where each prompt is a group of its own, as most are."""
        return None if self.groups.equals(self.names) else Names(self.groups, self.number)


_ID = ["response_id"]
AT_ONCE = 2**18  # rows, where something of many rows is made block by block


@dataclass(frozen=True)
class Responses:
    """ids, prompt_ids: [m], text when asked for by row; group: [m] number of the prompt; golden: [m] float64;
    is_test: [m] whether the prompt is a test prompt. n_failed: how many are not here since they have no
    golden score. split_groups: [m] text, the group of the prompt, of which a split has all or nothing; empty:
    each prompt is its own."""

    ids: Ids | np.ndarray
    prompt_ids: Names | np.ndarray
    golden: np.ndarray
    group: np.ndarray
    is_test: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=bool))
    n_failed: int = 0
    split_groups: Names | np.ndarray = field(default_factory=lambda: np.empty(0, dtype=object))

    def __len__(self) -> int:
        return len(self.golden)

    def take(self, rows: np.ndarray) -> Responses:
        is_test = self.is_test[rows] if len(self.is_test) else self.is_test
        group = self.group[rows]
        prompt_ids, kin = (_taken(names, rows, group) for names in (self.prompt_ids, self.split_groups))
        return Responses(self.ids.take(rows), prompt_ids, self.golden[rows], group, is_test, split_groups=kin)

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
        for start in range(0, len(self), AT_ONCE):
            block = self.group[start : start + AT_ONCE]
            row[block] = np.arange(start, start + len(block))
        return row[row >= 0]

    @property
    def distinct_prompts(self) -> list[str]:
        return [str(p) for p in self.prompt_ids[self._one_of_each]]

    @property
    def distinct_groups(self) -> list[str]:
        """The split group of each distinct prompt, in the order of distinct_prompts."""
        if not len(self.split_groups):
            return self.distinct_prompts
        return [str(g) for g in self.split_groups[self._one_of_each]]


def _taken(names: Names | np.ndarray, rows: np.ndarray, group: np.ndarray) -> Names | np.ndarray:
    if isinstance(names, Names):
        return Names(names.names, group)
    return names[rows] if len(names) else names


def read_responses(sample: Artifact, annotate: Artifact, splits: Sequence[str]) -> Responses:
    """Rows in the order of their ids, so that nothing depends on the order of a file.

    Responses that the golden reward failed on are left out, as if they had not been sampled. Tables are read
    part by part: beside the result some 20 bytes a row are held at a time.
    """
    is_test = _is_test(sample, splits)
    n = len(is_test)
    if n == 0:
        raise InputError(f"{sample.path}: no responses of the {' or '.join(splits)} prompts")
    unsorted = Ids.of(lambda: (p["response_id"].combine_chunks() for p in _parts(sample, _ID, splits)), n)
    order = unsorted.order()
    check_unique(unsorted, order, str(sample.path))
    ids, is_test = unsorted.take(order), is_test[order]
    del unsorted
    prompts = PromptOfRows.of(_parts(sample, ["prompt_id", "group"], splits), n)
    prompts = replace(prompts, number=prompts.number[order])
    del order
    golden = golden_of(annotate, ids)
    scored = np.isfinite(golden)
    n_failed = n - int(scored.sum())
    _check_scored(annotate, "test", is_test, scored)
    _check_scored(annotate, "train", ~is_test, scored)
    if n_failed:
        ids, is_test, golden = ids.take(scored), is_test[scored], golden[scored]
        prompts = prompts.take(scored)
    groups = prompts.group_names
    kin = np.empty(0, dtype=object) if groups is None else groups
    return Responses(ids, prompts.ids, golden, prompts.number, is_test, n_failed, kin)


def _check_scored(annotate: Artifact, split: str, here: np.ndarray, scored: np.ndarray) -> None:
    """InputError where the golden reward scored no response of a split that has some. here, scored: [m]."""
    if here.any() and not scored[here].any():
        raise InputError(
            f"{annotate.path}: the golden reward failed on every response of the {split} prompts; "
            "its column failure says why"
        )


def _parts(sample: Artifact, columns: list[str], splits: Sequence[str]) -> Iterator[pa.Table]:
    """Part by part, the rows of some splits."""
    wanted = pc.field("split").isin(list(splits))
    for part in sample.stream([*columns, "split"]):
        yield part.filter(wanted)


def _is_test(sample: Artifact, splits: Sequence[str]) -> np.ndarray:
    parts = [pc.equal(part["split"], "test").to_numpy() for part in _parts(sample, [], splits)]
    return np.concatenate([np.empty(0, dtype=bool), *parts])


def golden_of(annotate: Artifact, ids: Ids) -> np.ndarray:
    """[m] golden score of each response, NaN where the reward failed; InputError where one has no row, or
    two."""
    golden, is_there = np.full(len(ids), np.nan), np.zeros(len(ids), dtype=bool)
    for part in annotate.stream(["response_id", "score"]):
        rows = ids.find(part["response_id"].combine_chunks())
        kept = rows >= 0
        rows = rows[kept]
        if is_there[rows].any() or len(np.unique(rows)) < len(rows):
            raise InputError(f"{annotate.path}: response ids repeat; run its stage again with --force")
        golden[rows], is_there[rows] = part["score"].to_numpy()[kept], True
    missing = np.flatnonzero(~is_there)
    if len(missing):
        raise InputError(
            f"{annotate.path}: no score for {len(missing)} responses, such as {ids[missing[:1]][0]}; "
            "run that stage again"
        )
    return golden


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
