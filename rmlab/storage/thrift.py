"""Thrift's compact protocol, in which Parquet files keep what they say of themselves: read, within bounds.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from typing import Any

Struct = dict[int, Any]  # field number -> value
_DEEPEST = 12  # structs within structs; Parquet has 7
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12


class Damaged(ValueError):
    """What is there is no Thrift."""


class Reader:
    """Reads one struct after the other from bytes; `at` is where the next one begins."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def struct(self, depth: int = 0) -> Struct:
        if depth > _DEEPEST:
            raise Damaged("structs are nested too deep")
        found: Struct = {}
        number = 0
        while head := self._byte():
            kind, step = head & 15, head >> 4
            number = number + step if step else self._zigzag()
            found[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth)
        return found

    def _value(self, kind: int, depth: int) -> Any:
        if 4 <= kind <= 6:
            return self._zigzag()
        if kind == _BINARY:
            return self._take(self._varint())
        if kind in (_LIST, _SET):
            return self._list(depth)
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind == _DOUBLE:
            return self._take(8)
        if kind in (_TRUE, _FALSE, _BYTE):
            return self._byte()
        raise Damaged(f"there is no type {kind}")

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        size = head >> 4
        size = self._varint() if size == 15 else size
        if size > len(self.data) - self.at:  # each has a byte at least
            raise Damaged("a list is longer than the file")
        return [self._value(head & 15, depth) for _ in range(size)]

    def _byte(self) -> int:
        if self.at >= len(self.data):
            raise Damaged("it ends too early")
        self.at += 1
        return self.data[self.at - 1]

    def _take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise Damaged("it ends too early")
        self.at += size
        return self.data[self.at - size : self.at]

    def _varint(self) -> int:
        found = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            found |= (byte & 127) << shift
            if byte < 128:
                return found
        raise Damaged("a number has too many bytes")

    def _zigzag(self) -> int:
        found = self._varint()
        return (found >> 1) ^ -(found & 1)
