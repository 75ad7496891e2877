"""Ids of many responses in few bytes: rmlab's own are numbers of 24 hex digits, and take 12 bytes each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmlab.errors import InputError

DIGITS, WIDEST = 24, 64
HEX, OBJECT = 0, -1  # forms; another number is the width of ids as plain bytes
_VALUE = np.full(256, 255, np.uint8)
_VALUE[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
_TEXT = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), np.uint8).reshape(256, 2)


@dataclass(frozen=True, eq=False)
class Ids:
    """keys: [m] what the ids are held as, which has the order of the text; form: how that was made of it."""

    keys: np.ndarray
    form: int

    @classmethod
    def of(cls, ids: Callable[[], Iterable[pa.Array]], n: int) -> Ids:
        """ids: goes through n of them, a part at a time, as often as it is called."""
        form = _form(ids())
        keys = np.empty(n, _dtype(form))
        first = 0
        for part in ids():
            keys[first : first + len(part)], _ = _keys(part, form)
            first += len(part)
        return cls(keys, form)

    @classmethod
    def of_array(cls, ids: np.ndarray | pa.Array) -> Ids:
        array = pa.array(ids, pa.string())
        return cls.of(lambda: [array], len(array))

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        """Text, in the shape of the rows."""
        keys = self.keys[rows]
        return _text(keys.ravel(), self.form).to_numpy(zero_copy_only=False).reshape(keys.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self[:].tolist())

    def text(self, rows: np.ndarray | slice) -> pa.Array:
        return _text(self.keys[rows], self.form)

    def take(self, rows: np.ndarray) -> Ids:
        return Ids(self.keys[rows], self.form)

    def order(self) -> np.ndarray:
        """[m] rows in ascending order of their ids."""
        return np.argsort(self.keys, kind="stable")

    @cached_property
    def _sorted(self) -> tuple[np.ndarray | None, np.ndarray]:
        """The rows in ascending order, None where they stand in it already, and the keys in this order."""
        if (self.keys[1:] >= self.keys[:-1]).all():
            return None, self.keys
        order = self.order()
        return order, self.keys[order]

    def find(self, other: pa.Array) -> np.ndarray:
        """[n] int64 row here of each of the other ids, -1 for one that is not here."""
        order, mine = self._sorted
        found = np.full(len(other), -1)
        if not len(mine):
            return found
        keys, fits = _keys(other, self.form)
        asked = np.argsort(keys, kind="stable")  # searched in their order: each is near the one before
        asked = asked[fits[asked]]
        at = np.minimum(np.searchsorted(mine, keys[asked]), len(mine) - 1)
        is_it = mine[at] == keys[asked]
        found[asked[is_it]] = at[is_it] if order is None else order[at[is_it]]
        return found


def check_unique(ids: Ids, order: np.ndarray, what: str) -> None:
    """InputError where an id stands twice; order: the rows in ascending order."""
    for start in range(0, len(order), 2**18):
        keys = ids.keys[order[start : start + 2**18 + 1]]
        if (keys[1:] == keys[:-1]).any():
            raise InputError(f"{what}: response ids repeat; run its stage again with --force")


def _form(parts: Iterable[pa.Array]) -> int:
    is_hex, widest, has_nul = True, 0, False
    for part in parts:
        is_hex = is_hex and bool(_hex(part)[1].all())
        widest = max(widest, pc.max(pc.binary_length(part)).as_py() or 0)
        has_nul = has_nul or bool(pc.any(pc.match_substring(part, "\0")).as_py())
    if is_hex:
        return HEX
    return max(1, widest) if widest <= WIDEST and not has_nul else OBJECT


def _dtype(form: int) -> np.dtype:
    return np.dtype({HEX: f"S{DIGITS // 2}", OBJECT: "O"}.get(form, f"S{form}"))


def _keys(ids: pa.Array, form: int) -> tuple[np.ndarray, np.ndarray]:
    """The ids as held, [n], and whether they can be, [n]."""
    if form == HEX:
        return _hex(ids)
    content = [text.encode() for text in ids.to_pylist()]
    if form == OBJECT:
        keys = np.empty(len(content), object)
        keys[:] = content
        return keys, np.ones(len(content), bool)
    fits = np.array([len(key) <= form and b"\0" not in key for key in content], bool)
    return np.array(content, f"S{form}"), fits


def _hex(ids: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """[n] of 12 bytes each, and whether the id is such a number at all."""
    fits = pc.equal(pc.binary_length(ids), DIGITS).to_numpy(zero_copy_only=False)
    content = b"".join(chain(pc.filter(ids, pa.array(fits)).cast(pa.binary()).to_pylist()))
    digits = _VALUE[np.frombuffer(content, np.uint8)].reshape(-1, DIGITS)
    keys = np.zeros(len(ids), f"S{DIGITS // 2}")
    numbers = np.ascontiguousarray(digits[:, ::2] << 4 | digits[:, 1::2] & 15)
    keys[fits] = numbers.view(keys.dtype)[:, 0]
    fits[fits] = (digits < 16).all(axis=1)
    return keys, fits


def _text(keys: np.ndarray, form: int) -> pa.Array:
    if form != HEX:
        return pa.array(keys.tolist(), pa.binary()).cast(pa.string())
    numbers = np.ascontiguousarray(keys).view(np.uint8).reshape(-1, DIGITS // 2)
    ends = np.arange(len(keys) + 1, dtype=np.int32) * DIGITS
    return pa.StringArray.from_buffers(len(keys), pa.py_buffer(ends), pa.py_buffer(_TEXT[numbers].tobytes()))
