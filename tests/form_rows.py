"""Small good files of every form, for tests to read and to spoil."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]
N = 12


def user(text: str) -> Row:
    return {"role": "user", "content": text}


def assistant(text: str) -> Row:
    return {"role": "assistant", "content": text}


def dialogue(*turns: str) -> str:
    """hh-rlhf's text: Human and Assistant in turn."""
    return "".join(f"\n\n{('Human', 'Assistant')[k % 2]}: {turn}" for k, turn in enumerate(turns))


def rows_of(form: str) -> list[Row]:
    return [_ROW[form](i) for i in range(N)]


_ROW = {
    "hh": lambda i: {
        "chosen": dialogue(f"question {i}", f"first {i}", "and then?", f"good {i}"),
        "rejected": dialogue(f"question {i}", f"first {i}", "and then?", f"bad {i}"),
    },
    "preference": lambda i: {"prompt": f"question {i}", "chosen": f"good {i}", "rejected": f"bad {i}"},
    "ranking": lambda i: {
        "prompt": f"question {i}",
        "responses": [f"b {i}", f"a {i}", f"c {i}"],
        "ranks": [2, 1, 3],
    },
    "unpaired": lambda i: {"prompt": f"question {i // 2}", "completion": f"answer {i}", "label": i % 2 == 0},
    "votes": lambda i: {
        "prompt": f"question {i}",
        "response_a": f"a {i}",
        "response_b": f"b {i}",
        "votes": ["a", "b", "a"],
    },
    "scored": lambda i: {"prompt": f"question {i // 2}", "response": f"answer {i}", "score": i % 2 + 0.5},
}
FORMS = tuple(_ROW)


def write(path: Path, rows: list[Row]) -> Path:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8", newline="")
    return path
