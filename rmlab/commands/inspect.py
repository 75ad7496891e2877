"""rmlab inspect: show schema, lineage and sample rows of artifacts and of files of data."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rmlab.commands.data_file import describe_data, form_and_next, is_data
from rmlab.commands.options import as_options
from rmlab.config.quoting import override
from rmlab.errors import ConfigError, InputError, RmlabError, printable
from rmlab.logs.records import shell_line
from rmlab.pipeline.verify import artifacts_of, is_artifact, outdated
from rmlab.storage.artifact import Artifact, is_unfinished, open_artifact, readable, upstream
from rmlab.storage.files import plain
from rmlab.storage.set_record import RECORD
from rmlab.storage.untrusted import open_table
from rmlab.terminal import say, say_json

_WIDTH = 100  # characters shown of a value


def inspect_command(paths: Sequence[Path], rows: int, names: Mapping[str, str], as_json: bool) -> None:
    """Describes each of the paths; nothing is printed if one of them cannot be described.

    names: the names that a file of data has for columns, where they are others.
    """
    found = []
    for path in paths:
        with readable(path), _named_as_options():
            found.append(describe(path, rows, names))
    if as_json:
        say_json(plain(found[0] if len(found) == 1 else {"inspected": found}))
        return
    for n, one in enumerate(found):
        say(*[""] * (n > 0))
        _print(one)


@contextmanager
def _named_as_options() -> Iterator[None]:
    """Within, errors name options in the place of settings."""
    try:
        yield
    except InputError as error:
        if (told := as_options(str(error))) != str(error):
            raise InputError(told) from None
        raise


def describe(path: Path, rows: int, names: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    if path.is_file() and path.suffix == ".parquet" and not names:
        return _parquet(path, rows)
    if path.is_file() and path.name == "manifest.json":
        path = path.parent
    if not path.exists() and str(path).startswith("columns."):
        column = shlex.quote(str(path).removeprefix("columns."))
        raise ConfigError(f"{path} is a setting, and inspect takes options; write --column {column}")
    if not path.exists():
        raise InputError(f"{path} does not exist; `rmlab status` shows where artifacts are")
    if (path / RECORD).is_file():
        raise InputError(f"{path} is an embedding set: rmlab validate {path}")
    if is_data(path):
        return describe_data(path, rows, names)
    if inside := artifacts_of(path):
        line = shell_line(["rmlab", "status", override("out", str(path))])
        n = f"{len(inside):,} artifacts" if len(inside) > 1 else "an artifact"
        raise InputError(f"{path} holds {n}, and inspect takes one itself; `{line}` lists what is there")
    if is_unfinished(path) and not is_artifact(path.absolute()):
        raise InputError(
            f"{path} is no artifact, and no file of data (.jsonl, .json, .csv, .parquet); `rmlab status` "
            "shows where artifacts are"
        )
    if names:
        raise ConfigError(f"--column is for files of data, and {path} is an artifact; leave it out")
    artifact = open_artifact(path.absolute())
    m = artifact.manifest
    keys = ("stage", "name", "fingerprint", "created", "seconds", "command", "config", "counts", "metrics")
    header = {k: v for k, v in m.to_json().items() if k in (*keys, "warnings", "versions", "git")}
    header["stale"] = outdated(path)
    return {"path": str(path), **header, "tables": _tables(artifact, rows), "lineage": lineage(artifact)}


def _parquet(path: Path, rows: int) -> dict[str, Any]:
    """A table, and the form of its rows where it is no table of an artifact and its columns tell one."""
    table = _table(path, rows, path.stem)
    found = {"path": str(path), "tables": [table], "lineage": []}
    if is_artifact(path.absolute().parent) or not table["rows"]:
        return found
    first = table["sample"][0] if table["sample"] else {}
    known = form_and_next(path, first or dict.fromkeys((c["name"] for c in table["columns"]), ""), {})
    return found | known if known["form"] else found


def _tables(artifact: Artifact, rows: int) -> list[dict[str, Any]]:
    files = [f for f in artifact.manifest.files if f.name.endswith(".parquet")]
    parts = [f for f in files if f.name.startswith("part-")]
    groups = [("part-*", parts)] if parts else []
    groups += [(Path(f.name).stem, [f]) for f in files if f not in parts]
    return [
        _table(artifact.path / group[0].name, rows, name)
        | {"files": len(group), "rows": sum(f.rows for f in group)}
        for name, group in groups
    ]


def _table(file: Path, rows: int, name: str) -> dict[str, Any]:
    """A Parquet file, which may be a stranger's: no more than its first rows are read."""
    sample: list[dict[str, Any]] = []
    with open_table(file, rows=max(1, rows)) as found:
        for batch in found:
            sample += found.as_python(batch.slice(0, rows - len(sample)))
            if len(sample) >= rows:
                break
        columns = [{"name": f.name, "type": str(f.type)} for f in found.schema]
        return {"table": name, "files": 1, "rows": found.rows, "columns": columns, "sample": sample}


def lineage(artifact: Artifact, above: tuple[Path, ...] = ()) -> list[dict[str, Any]]:
    """All inputs, recursively, down to files and models; missing inputs are marked as such."""
    above = (*above, artifact.path)
    depth = len(above) - 1
    found = []
    for record in artifact.manifest.inputs:
        row = {"depth": depth, "role": record.role, "kind": record.kind, "name": record.name}
        row |= {"identity": record.fingerprint}
        if record.kind != "artifact":
            found.append(row)
            continue
        place = upstream(artifact.path, record)
        try:
            if place in above:
                raise InputError(f"{place} is said to be made of itself")
            found += [row | {"path": str(place)}, *lineage(open_artifact(place), above)]
        except RmlabError as error:
            found.append(row | {"path": str(place), "problem": str(error)})
    return found


def _print(found: dict[str, Any]) -> None:
    say(found["path"])
    for key in ("stage", "name", "fingerprint", "created", "command", "stale"):
        if found.get(key):
            say(f"  {key}: {found[key]}")
    for key in ("counts", "metrics", "warnings"):
        if found.get(key):
            say(f"  {key}: {_short(found[key], 400)}")
    for table in found["tables"]:
        say("", f"table {table['table']}: {_rows(table['rows'])}{_in_files(table['files'])}")
        for column in table["columns"]:
            say(f"  {column['name']}: {column['type']}")
        for i, row in enumerate(table["sample"], start=1):
            say(f"  row {i}: " + ", ".join(f"{k}={_short(v)}" for k, v in row.items()))
    if "form" in found:
        known = f"form: {found['form']}" if found["form"] else f"no form: {found['why']}"
        say("", known, *(f"{key}: {found[key]}" for key in ("next", "perhaps") if key in found))
    if found["lineage"]:
        say("", "lineage")
    for row in found["lineage"]:
        problem = f" ({row['problem']})" if "problem" in row else ""
        say(
            f"  {'  ' * row['depth']}{row['role']}: {row['kind']} {row['name']} "
            f"{row['identity'][:40]}{problem}"
        )


def _rows(n: int) -> str:
    return "1 row" if n == 1 else f"{n:,} rows"


def _in_files(n: int) -> str:
    return f" in {n:,} files" if n > 1 else ""


def _short(value: Any, width: int = _WIDTH) -> str:
    """A value as one line of JSON."""
    text = printable(json.dumps(plain(value), ensure_ascii=False, default=str))
    return text if len(text) <= width else text[: width - 1] + "…"
