"""Values, rows and bytes that no honest writer makes."""

from __future__ import annotations

import gzip
import json
from typing import Any

from hypothesis import strategies as st

HUGE = "\ue000huge"  # stands for an integer of thousands of digits, which Python's own writer refuses
TEXTS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            "", " ", "\n", "\x00", "\x1b[2J\x1b]0;owned\x07", "\u202eevil", "\ufeff", "a\u2028b", "\ud800", "\udfff",
            "../../x", "/etc/passwd", "..", "C:\\x", "a/b", "~nobody/x", "x" * 5000, "\U0001f600" * 40, "Ω≈ç", "NaN",
            "<script>alert(1)</script>", "${oc.env:HOME}", "'; DROP TABLE", "\r\n", "=1+1", "1e999", "٣", "null",
            "\n\nHuman: a\n\nAssistant: b", "\n\nHuman: a\n\nAssistant: b\n\nHuman:", "Human:", "[" * 50,
            '[{"role": "user", "content": "a"}]', '[{"role": "user"}]', "[[1, 2]]", "train", "test", "chat",
        ]
    ),
    st.integers(1, 20).map(lambda n: "long " * (n * 20_000)),
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.sampled_from([2**31, 2**63, -(2**63) - 1, 10**400, HUGE, 1e308, 5e-324]),
)
LEAVES = st.one_of(st.none(), NUMBERS, TEXTS)
MESSAGES = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "assistant", "system"]), "content": st.text(max_size=8)}
        ),
        st.dictionaries(st.sampled_from(["role", "content", "x"]), LEAVES, max_size=3),
    ),
    max_size=4,
)
VALUES = st.one_of(
    LEAVES,
    MESSAGES,
    st.recursive(
        LEAVES,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    st.sampled_from([60, 120, 900, 960, 3000]).map(lambda n: Deep(n)),  # noqa: PLW0108 (it is defined below)
)


class Deep:
    """So many lists within each other."""

    def __init__(self, levels: int) -> None:
        self.levels = levels

    def __repr__(self) -> str:
        return f"Deep({self.levels})"


def as_json(value: Any) -> str:
    if isinstance(value, Deep):
        return "[" * value.levels + "]" * value.levels
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)}: {as_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_json, value)) + "]"
    return "9" * 5000 if value == HUGE else json.dumps(value)


def rows(*good: dict[str, Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rows like the good ones, some of their values hostile, missing, or of other columns."""
    columns = sorted({column for row in good for column in row})

    def spoilt(row: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
        changes = st.dictionaries(st.sampled_from(columns), VALUES, max_size=2)
        gone = st.sets(st.sampled_from(columns), max_size=1)
        return st.builds(lambda c, g: {k: v for k, v in {**row, **c}.items() if k not in g}, changes, gone)

    either = st.one_of(st.sampled_from(good), st.sampled_from(good).flatmap(spoilt))
    return st.lists(either, min_size=1, max_size=6)


def lines(*good: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """The bytes of a JSONL file."""
    honest = "\n".join(json.dumps(row) for row in good).encode()
    written = rows(*good).map(lambda found: "\n".join(map(as_json, found)).encode("utf-8", "surrogatepass"))
    return st.one_of(written, written, damaged(honest), junk())


def junk() -> st.SearchStrategy[bytes]:
    return st.one_of(st.binary(max_size=200), st.sampled_from(sorted(JUNK)).map(lambda name: JUNK[name]))


JUNK = {
    "nothing": b"",
    "a line end": b"\n",
    "nulls": b"\x00" * 100,
    "a mark": b"\xef\xbb\xbf",
    "utf-16": b"\xff\xfe{\x00}\x00",
    "open lists": b"[" * 100_000,
    "open objects": b'{"a":' * 100_000,
    "a key twice": b'{"prompt": "a", "prompt": "b"}',
    "nan": b'{"prompt": NaN}',
    "digits": b'{"prompt": ' + b"9" * 5000 + b"}",
    "null": b"null",
    "a raw surrogate": b'{"prompt": "\xed\xa0\x80"}',
    "an open text": b'"' + b"a" * 3_000_000,
    "many objects": b"{}\n" * 2000,
    "an object": b"{}",
    "a list": b"[]",
    "parquet": b"PAR1",
    "gzip": b"\x1f\x8b",
}


def damaged(honest: bytes) -> st.SearchStrategy[bytes]:
    """A good file, cut, with bytes flipped, or with a piece repeated."""
    at = st.integers(0, max(0, len(honest) - 1))
    flips = st.lists(st.tuples(at, st.integers(0, 255)), min_size=1, max_size=6)
    return st.one_of(
        at.map(lambda n: honest[:n]),
        flips.map(lambda changes: _flipped(honest, changes)),
        st.tuples(at, at).map(lambda p: honest[: max(p)] + honest[min(p) :]),
    )


def _flipped(honest: bytes, changes: list[tuple[int, int]]) -> bytes:
    found = bytearray(honest)
    for at, byte in changes:
        found[at] = byte
    return bytes(found)


def tables(*good: dict[str, Any]) -> st.SearchStrategy[tuple[str, bytes]]:
    """(name, bytes) of a file of rows in any kind that is read."""
    from hostile_parquet import parquet

    jsonl = lines(*good)
    return st.one_of(
        jsonl.map(lambda b: ("a.jsonl", b)),
        jsonl.map(lambda b: ("a.jsonl.gz", gzip.compress(b, 1))),
        damaged(gzip.compress(b'{"prompt": "a"}\n' * 9)).map(lambda b: ("a.jsonl.gz", b)),
        csv_bytes(good).map(lambda b: ("a.csv", b)),
        parquet(*good).map(lambda b: ("a.parquet", b)),
        parquet(*good).map(lambda b: ("a.parquet", b)),
    )


def csv_bytes(good: tuple[dict[str, Any], ...]) -> st.SearchStrategy[bytes]:
    columns = sorted({column for row in good for column in row})
    cell = st.one_of(
        TEXTS,
        NUMBERS.map(str),
        st.just('"'),
        st.sampled_from(good).map(lambda r: str(next(iter(r.values())))),
    )
    row = st.lists(cell, min_size=len(columns), max_size=len(columns))
    header = st.one_of(st.just(columns), st.just([*columns, "", ""]), st.just([*columns, columns[0]]))

    def written(names: list[str], found: list[list[str]], quoted: bool) -> bytes:
        def field(text: str) -> str:
            return '"' + text.replace('"', '""') + '"' if quoted else text

        body = [",".join(map(field, [*r, *[""] * (len(names) - len(r))])) for r in [names, *found]]
        return "\n".join(body).encode("utf-8", "surrogatepass")

    made = st.builds(written, header, st.lists(row, max_size=4), st.booleans())
    return st.one_of(made, made, junk())
