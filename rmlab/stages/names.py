"""A name a row where many rows share one: each name is held once, and a number a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


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
class Prompts:
    """The prompts of many rows. names: [P] their ids, ascending; groups: [P] the group of each;
    number: [m] int32 the prompt of each row."""

    names: pa.Array
    groups: pa.Array
    number: np.ndarray

    @classmethod
    def of(cls, parts: Iterable[pa.Table], n: int) -> Prompts:
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

    def _ascending(self) -> Prompts:
        """Each name once, though it may be in several parts."""
        coded = self.names.dictionary_encode()
        code = coded.indices.to_numpy()
        order = pc.array_sort_indices(coded.dictionary).to_numpy()
        rank, example = np.empty((2, len(order)), np.int64)
        rank[order] = np.arange(len(order))
        example[code] = np.arange(len(code))
        names, groups = coded.dictionary.take(pa.array(order)), self.groups.take(pa.array(example[order]))
        return Prompts(names, groups, rank[code].astype(np.int32)[self.number])

    def take(self, rows: np.ndarray) -> Prompts:
        """Those of some rows, numbered anew."""
        number = self.number[rows]
        is_there = np.zeros(len(self.names), dtype=bool)
        is_there[number] = True
        new = (np.cumsum(is_there) - 1).astype(np.int32)
        kept = pa.array(is_there)
        return Prompts(self.names.filter(kept), self.groups.filter(kept), new[number])

    @property
    def ids(self) -> Names:
        return Names(self.names, self.number)

    @property
    def group_names(self) -> Names | None:
        """None where each prompt is a group of its own, as most are."""
        return None if self.groups.equals(self.names) else Names(self.groups, self.number)
