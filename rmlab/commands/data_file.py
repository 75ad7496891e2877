"""Describes a file of data for rmlab inspect: its form, rows and columns, and the command that takes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rmlab.config.quoting import override
from rmlab.data.forms.arrays import is_arrays
from rmlab.data.forms.base import has
from rmlab.data.forms.recognise import ARRAYS, PROMPTS, SCORED, recognise
from rmlab.data.reader import ENDINGS, Row, read_rows
from rmlab.errors import InputError
from rmlab.logs.records import shell_line

_MOST = 1000  # columns that are counted: a file may have as many names as it has values
_KINDS = {
    bool: "true or false", int: "whole number", float: "number", str: "text", list: "list", dict: "object",
}  # fmt: skip
_PAIR = ("prompt", "chosen", "rejected")
_DEMONSTRATIONS = "demonstrations"


def is_data(path: Path) -> bool:
    """True for a file of rows, by the end of its name, and for a folder of arrays."""
    return (path.is_file() and path.name.lower().endswith(ENDINGS)) or is_arrays(path)


def describe_data(path: Path, rows: int, names: Mapping[str, str]) -> dict[str, Any]:
    """All rows are read and counted; those at the beginning are shown. names: as for `read_rows`."""
    found: dict[str, Any] = {"path": str(path)}
    if is_arrays(path):
        return found | {"tables": [], "lineage": [], **form_and_next(path, {}, names)}
    table: dict[str, Any] = {"table": path.name.partition(".")[0], "files": 1}
    sample: list[Row] = []
    columns: dict[str, Counter[str]] = {}
    number = 0
    for _, row in read_rows(path, names=names):
        number += 1
        if len(sample) < max(1, rows):
            sample.append(row)
        for name, value in row.items():
            if value is not None and (name in columns or len(columns) < _MOST):
                columns.setdefault(str(name), Counter())[_KINDS.get(type(value), type(value).__name__)] += 1
    listed = [{"name": name, "type": _type(kinds, number)} for name, kinds in columns.items()]
    table |= {"rows": number, "columns": listed, "sample": sample[:rows]}
    return found | {"tables": [table], "lineage": [], **form_and_next(path, sample[0], names)}


def _type(kinds: Mapping[str, int], rows: int) -> str:
    """The kinds of a column's values, and in how many rows it has one, unless it has in all."""
    n = sum(kinds.values())
    words = " or ".join(sorted(kinds, key=lambda kind: -kinds[kind]))
    return words if n == rows else f"{words}, in {n:,} of {rows:,} rows"


def form_and_next(path: Path, first: Row, names: Mapping[str, str]) -> dict[str, Any]:
    """The form of the data, and a command that takes it; why there is none, where no form fits."""
    try:
        form = recognise(path, names=names)
    except InputError as error:
        if has(first, "prompt") and has(first, "completion"):
            form = _DEMONSTRATIONS
        else:
            return {"form": None, "why": str(error), **({} if names else _perhaps(path, first))}
    if form == _DEMONSTRATIONS and names:
        why = "demonstrations are read under the names prompt and completion alone; rename the columns"
        return {"form": None, "why": why}
    taken_by = _taken_by(form, str(path), first)
    command, *_ = taken_by
    named = [
        word
        for ours, theirs in names.items()
        for word in (
            ["--column", f"{ours}={theirs}"] if command == "score" else [override(f"columns.{ours}", theirs)]
        )
    ]
    return {"form": form, "next": shell_line(["rmlab", *taken_by, *named])}


def _perhaps(path: Path, first: Row) -> dict[str, str]:
    """Returns a command that names columns of text in order: pairs where they are three, else prompts."""
    texts = [name for name, value in first.items() if isinstance(value, str)]
    if len(texts) == len(_PAIR):
        named = [override(f"columns.{ours}", name) for ours, name in zip(_PAIR, texts, strict=True)]
        return {"perhaps": shell_line(["rmlab", "import", str(path), *named])}
    if not texts:
        return {}
    words = [
        override("prompts.path", str(path)),
        override("columns.prompt", max(texts, key=lambda t: len(first[t]))),
    ]
    return {"perhaps": shell_line(["rmlab", "run", "prompts=file", *words])}


def _taken_by(form: str, path: str, first: Row) -> list[str]:
    if form == PROMPTS:
        return ["run", "prompts=file", override("prompts.path", path)]
    if form == _DEMONSTRATIONS:
        return ["sft", "demonstrations=file", override("demonstrations.path", path)]
    if form == SCORED and not has(first, "score"):
        return ["score", path, "--head", "ARTIFACT"]
    if form == SCORED and not has(first, "response"):
        return ["run", "golden=file", override("golden.file.path", path)]
    return ["import", path, *([f"form={form}"] if form == ARRAYS else [])]
