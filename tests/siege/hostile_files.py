"""Files of rows as no honest program writes them: what is in each, and what must be said of it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from typing import Any

_GOOD = [{"prompt": f"question {i}", "chosen": f"yes, {i}", "rejected": f"no, {i}"} for i in range(40)]
_HUGE = "9" * 5000  # an integer that Python's own reader refuses


def text(*changes: tuple[str, str]) -> bytes:
    """Good rows, in the eighth of which a value is replaced by some JSON."""
    lines = [json.dumps(row) for row in _GOOD]
    for column, value in changes:
        row: Mapping[str, Any] = _GOOD[7]
        lines[7] = lines[7].replace(f'"{column}": {json.dumps(row[column])}', f'"{column}": {value}')
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")


def csv(*rows: str, header: str = "prompt,chosen,rejected") -> bytes:
    return "\n".join([header, *(f"q {i},yes {i},no {i}" for i in range(30)), *rows, ""]).encode(
        "utf-8", "surrogatepass"
    )


_LINES = text()
_PACKED = gzip.compress(_LINES)

# name: (its bytes, what is said of it; "" where it is taken as it is)
FILES: dict[str, tuple[bytes, str]] = {
    # values of the wrong kind
    "number-for-text.jsonl": (text(("chosen", "3")), "row 8: 'chosen' must be text, got int"),
    "list-for-text.jsonl": (text(("chosen", "[1, 2]")), "row 8: 'chosen' is messages and 'rejected' is text"),
    "object-for-text.jsonl": (text(("chosen", '{"a": 1}')), "row 8: 'chosen' must be text, got dict"),
    "truth-for-text.jsonl": (text(("prompt", "true")), "row 8: 'prompt' must be text, got bool"),
    "null-for-text.jsonl": (text(("chosen", "null")), "row 8: no 'chosen'"),
    "nan-for-text.jsonl": (text(("chosen", "NaN")), "row 8: 'chosen' must be text, got float"),
    "infinity-for-text.jsonl": (text(("prompt", "-Infinity")), "row 8: 'prompt' must be text, got float"),
    "huge-integer.jsonl": (text(("chosen", _HUGE)), "line 8: not JSON"),
    "huge-exponent.jsonl": (text(("chosen", "1e999999")), "row 8: 'chosen' must be text, got float"),
    "empty-text.jsonl": (text(("prompt", '""')), "row 8: no 'prompt'"),
    "blank-text.jsonl": (text(("prompt", '" \\t\\u2003"')), "row 8: 'prompt' is empty"),
    "lone-surrogate.jsonl": (text(("chosen", '"\\ud800"')), "row 8: 'chosen' holds a lone surrogate"),
    "messages-without-role.jsonl": (
        text(("prompt", '[{"content": "a"}]')),
        "row 8: each message needs a role",
    ),
    "messages-of-odd-roles.jsonl": (
        text(("prompt", '[{"role": "root", "content": "a"}]')),
        "row 8: each message needs a role",
    ),
    "messages-of-numbers.jsonl": (text(("prompt", "[[[]]]")), "row 8: each message needs a role"),
    "nul-in-text.jsonl": (text(("chosen", '"a\\u0000b"')), ""),
    "escapes-in-text.jsonl": (text(("chosen", '"\\u001b[2J\\u0007\\u202e"')), ""),
    "very-long-text.jsonl": (text(("chosen", json.dumps("x" * 2_000_000))), ""),
    # files that are not JSONL
    "empty.jsonl": (b"", "has no rows"),
    "line-ends.jsonl": (b"\n\r\n\n", "has no rows"),
    "nuls.jsonl": (b"\x00" * 4096, "line 1: not JSON"),
    "nul-between.jsonl": (_LINES.replace(b"\n", b"\n\x00", 3), "line 2: not JSON"),
    "mark.jsonl": (b"\xef\xbb\xbf" + _LINES, ""),
    "two-marks.jsonl": (b"\xef\xbb\xbf" * 2 + _LINES, "line 1: not JSON"),
    "utf-16.jsonl": (_LINES.decode().encode("utf-16"), "line 1: not UTF-8"),
    "utf-32.jsonl": (_LINES.decode().encode("utf-32"), "line 1: not UTF-8"),
    "latin-1.jsonl": (
        _LINES + '{"prompt": "café", "chosen": "a", "rejected": "b"}\n'.encode("latin-1"),
        "line 41: not UTF-8",
    ),
    "raw-surrogate.jsonl": (text(("chosen", '"\ud800"')), "line 8: not UTF-8"),
    "carriage-returns.jsonl": (_LINES.replace(b"\n", b"\r\n"), ""),
    "old-line-ends.jsonl": (_LINES.replace(b"\n", b"\r"), "line 1: not JSON"),
    "cut-short.jsonl": (_LINES[:-20], "line 40: not JSON"),
    "one-list.jsonl": (json.dumps(_GOOD).encode(), "line 1: expected an object"),
    "pretty.jsonl": (json.dumps(_GOOD[0], indent=2).encode(), "line 1: not JSON"),
    "trailing-comma.jsonl": (_LINES.replace(b"}\n", b"},\n"), "line 1: not JSON"),
    "single-quotes.jsonl": (_LINES.replace(b'"', b"'"), "line 1: not JSON"),
    "comments.jsonl": (b"# rows\n" + _LINES, "line 1: not JSON"),
    "numbers.jsonl": (b"1\n2\n", "line 1: expected an object"),
    "null.jsonl": (b"null\n", "line 1: expected an object"),
    "no-columns.jsonl": (b"{}\n" * 2000, "match no known form"),
    "other-columns.jsonl": (
        b'{"question": "a", "better": "b", "worse": "c"}\n' * 30,
        "(better, question, worse) match no known form",
    ),
    "deep-list.jsonl": (text(("chosen", "[" * 900 + "]" * 900)), "nested more than 100 levels deep"),
    "open-lists.jsonl": (b"[" * 200_000, "nested more than 100 levels deep"),
    "open-objects.jsonl": (b'{"a":' * 200_000, "nested more than 100 levels deep"),
    "deep-value-beside.jsonl": (
        _LINES.replace(b'{"prompt"', b'{"z": ' + b"[" * 200 + b"]" * 200 + b', "prompt"', 1),
        "nested more than 100 levels deep",
    ),
    "endless-line.jsonl": (b'{"prompt": "' + b"a" * (70 << 20), "longer than 67,108,864 bytes"),
    "parquet-inside.jsonl": (b"PAR1" + b"\x00" * 100 + b"PAR1", "line 1: not JSON"),
    "pickle-inside.jsonl": (
        b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.",
        "line 1: not UTF-8",
    ),
    "same-prompts.jsonl": (b'{"prompt": "a", "chosen": "b", "rejected": "c"}\n' * 500, "no test prompts"),
    "alike-answers.jsonl": (text(("chosen", '"no, 7"')), ""),  # dropped, and counted
    # packed files
    "packed.jsonl.gz": (_PACKED, ""),
    "packed-cut.jsonl.gz": (_PACKED[: len(_PACKED) // 2], "cannot be read"),
    "packed-damaged.jsonl.gz": (_PACKED[:60] + bytes(20) + _PACKED[80:], "cannot be read"),
    "packed-wrong-sum.jsonl.gz": (_PACKED[:-8] + bytes(8), "CRC check failed"),
    "not-packed.jsonl.gz": (_LINES, "cannot be read (Not a gzipped file"),
    "packed-twice.jsonl.gz": (gzip.compress(_PACKED), "line 1: not UTF-8"),
    "packed-nothing.jsonl.gz": (gzip.compress(b""), "has no rows"),
    "bomb-of-one-line.jsonl.gz": (gzip.compress(b" " * (300 << 20), 9), "longer than 67,108,864 bytes"),
    "bomb-of-rows.jsonl.gz": (
        gzip.compress(
            (b'{"prompt": "a", "chosen": "b"' + b" " * (1 << 22) + b', "rejected": "c"}\n') * 200, 9
        ),
        "unpacks to more than 536,870,912 bytes",
    ),
    # CSV
    "good.csv": (csv(), ""),
    "open-quote.csv": (csv('q,"yes,no'), "line 31: not CSV"),
    "few-fields.csv": (csv("q,yes"), "row 31: not as many fields"),
    "many-fields.csv": (csv("q,yes,no,maybe"), "row 31: not as many fields"),
    "column-twice.csv": (csv(header="prompt,chosen,chosen"), "has 2 columns 'chosen'"),
    "header-alone.csv": (b"prompt,chosen,rejected\n", "has no rows"),
    "nul.csv": (csv("q,y\x00s,no"), ""),
    "latin-1.csv": (csv() + "q,café,no\n".encode("latin-1"), "line 32: not UTF-8"),
    "semicolons.csv": (csv().replace(b",", b";"), "match no known form"),
    "formulas.csv": (csv("=cmd|'/c calc'!A1,@SUM(1),-1+1"), ""),
    "long-field.csv": (csv(f"q,{'x' * (70 << 20)},no"), "line 31: not CSV"),
    "utf-16.csv": (csv().decode().encode("utf-16"), "line 1: not UTF-8"),
    # Parquet by name only
    "text.parquet": (_LINES, "not a readable Parquet file"),
    "empty.parquet": (b"", "not a readable Parquet file"),
    "magic-alone.parquet": (b"PAR1PAR1", "not a readable Parquet file"),
    "huge-footer.parquet": (b"PAR1" + b"\xff\xff\xff\x7f" + b"PAR1", "not a readable Parquet file"),
    # one list of all rows
    "rows.json": (json.dumps(_GOOD).encode(), ""),
    "numbers.json": (b"[1, 2]", "row 1: expected an object {...}, got int"),
    "open-list.json": (json.dumps(_GOOD).encode()[:-1], "not JSON"),
    "deep-list.json": (b"[" * 100_000, "not JSON"),
    "empty-list.json": (b"[]", "has no rows"),
    # kinds that are not read
    "rows.xlsx": (b"PK\x03\x04", "unknown kind of file"),
    "rows.pkl": (b"\x80\x04N.", "unknown kind of file"),
    "rows": (_LINES, "unknown kind of file"),
}
