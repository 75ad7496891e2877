"""Tables of artifacts as pandas, Arrow or polars, and tables as HTML for notebooks."""

from __future__ import annotations

import html
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa

from rmlab.errors import ConfigError, InputError
from rmlab.storage.artifact import Artifact, open_artifact
from rmlab.storage.schemas import TABLES

Library = Literal["pandas", "arrow", "polars"]
_PART = "part"
_MOST_SHOWN = 60  # rows of a table in a notebook


def read(
    artifact: str | Path | Artifact,
    table: str | None = None,
    to: Library = "pandas",
    columns: Sequence[str] | None = None,
) -> Any:
    """Returns a table of an artifact, which is checked first, as pandas, Arrow or polars.

    artifact: its folder, or an artifact of a run; table: its name, as in TABLES.md, where there are several;
    columns: the columns to read, in place of all.
    """
    if to not in ("pandas", "arrow", "polars"):
        raise ConfigError(f"to must be pandas, arrow or polars, got {to}")
    polars = _polars() if to == "polars" else None  # before anything is read
    if not isinstance(artifact, Artifact | str | Path):
        raise ConfigError(f"artifact must be a folder or an artifact of a run, got {type(artifact).__name__}")
    opened = artifact if isinstance(artifact, Artifact) else open_artifact(Path(artifact).expanduser())
    found = _read(opened, table, columns)
    if polars:
        return polars.from_arrow(found)
    return found.to_pandas() if to == "pandas" else found


def _polars() -> Any:
    try:
        import polars
    except ImportError:
        raise ConfigError(
            'to="polars" needs the package polars, which is not installed: pip install polars'
        ) from None
    return polars


def _read(artifact: Artifact, table: str | None, columns: Sequence[str] | None) -> pa.Table:
    known = _tables(artifact)
    if not known:
        raise InputError(f"{artifact.path} holds no table; its stage is {artifact.manifest.stage}")
    name = next(iter(known)) if table is None and (len(known) == 1 or _PART in known.values()) else table
    if name not in known:
        problem = "has several tables" if table is None else f"has no table {table}"
        raise InputError(f"{artifact.path} {problem}; name one of {', '.join(known)}")
    if isinstance(columns, str):
        raise ConfigError(f"columns must be a list of names, got the text {columns}")
    lacking = set(columns or ()) - set(_columns(artifact, known[name]))
    if lacking:
        there = ", ".join(_columns(artifact, known[name]))
        raise InputError(f"the table {name} has no column {min(lacking)}; it has {there}")
    return artifact.read(known[name], None if columns is None else list(columns))


def _tables(artifact: Artifact) -> dict[str, str]:
    """The tables of an artifact by the names of TABLES.md, and the files that hold them; parts first."""
    files = [f.name for f in artifact.manifest.files if f.name.endswith(".parquet")]
    found: dict[str, str] = {}
    for file in sorted(files, key=lambda name: not name.startswith("part-")):
        described = (t for t in TABLES if t.stage == artifact.manifest.stage and fnmatch(file, t.files))
        stem = _PART if file.startswith("part-") else Path(file).stem
        name = next((t.name for t in described), stem)
        found.setdefault(name, stem)
    return found


def _columns(artifact: Artifact, stem: str) -> list[str]:
    from pyarrow.parquet import read_schema

    file = artifact.parts[0] if stem == _PART else artifact.path / f"{stem}.parquet"
    return list(read_schema(file).names)


def html_table(frame: pd.DataFrame, title: str) -> str:
    """A table for a notebook, with its title; only the first rows of a long one."""
    more = f"<p>and {len(frame) - _MOST_SHOWN:,} more</p>" if len(frame) > _MOST_SHOWN else ""
    shown = frame.head(_MOST_SHOWN).to_html(index=False, na_rep="", float_format="{:,.3f}".format, border=0)
    return f"<p>{html.escape(title)}</p>{shown}{more}"
