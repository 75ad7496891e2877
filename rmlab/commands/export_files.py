"""The files of an export, whole or not at all: rows in one file, or a folder with a card."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from rmlab.artifacts.files import replacing, write_parquet
from rmlab.data.forms.pairs import preference_schema

_ROWS_PER_SHARD = 100_000
_MADE_BY = "made by `rmlab export`"
_LICENCES = "the licence of the data is that of its source"

Row = dict[str, Any]


def write_rows(out: Path, rows: Sequence[Row], as_text: bool) -> None:
    """JSONL or Parquet, by the name's ending."""
    if out.suffix == ".parquet":
        write_parquet(out, pa.Table.from_pylist(list(rows), schema=preference_schema(as_text)))
        return
    with replacing(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def write_folder(
    out: Path, rows: Sequence[Row], as_text: bool, licence: str, lineage: Sequence[dict[str, Any]]
) -> None:
    """data/train-00000-of-00001.parquet and so on, and README.md, the card: as a hub's datasets are laid out.

    Written beside its place; what was there goes only once all is written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished, old = (out.with_name(f".{out.name}.{os.getpid()}.{what}") for what in ("tmp", "old"))
    try:
        splits = {s: [r for r in rows if r["split"] == s] for s in ("train", "test")}
        for split, part in splits.items():
            _write_shards(unfinished / "data", split, part, as_text)
        (unfinished / "README.md").write_text(_card(out.name, splits, as_text, licence, lineage), "utf-8")
        if out.exists():
            out.rename(old)
        try:
            unfinished.rename(out)
        except BaseException:
            if old.exists():
                old.rename(out)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def is_export(folder: Path) -> bool:
    """Whether the folder is empty or holds what write_folder writes and nothing else."""
    names = {entry.name for entry in folder.iterdir()}
    card = folder / "README.md"
    return not names or (names == {"README.md", "data"} and _MADE_BY in card.read_text("utf-8", "replace"))


def _write_shards(folder: Path, split: str, rows: Sequence[Row], as_text: bool) -> None:
    parts = [rows[k : k + _ROWS_PER_SHARD] for k in range(0, len(rows), _ROWS_PER_SHARD)]
    for number, part in enumerate(parts):
        table = pa.Table.from_pylist(list(part), schema=preference_schema(as_text))
        # the split is the file's name; as a column it would shadow it
        name = f"{split}-{number:05d}-of-{len(parts):05d}.parquet"
        write_parquet(folder / name, table.drop_columns(["split"]))


def _card(
    name: str, splits: dict[str, list[Row]], as_text: bool, licence: str, lineage: Sequence[dict[str, Any]]
) -> str:
    files = [f"  - split: {s}\n    path: data/{s}-*.parquet" for s, rows in splits.items() if rows]
    fields = [f for f in preference_schema(as_text) if f.name != "split"]
    said = "text" if as_text else "messages (role, content)"
    known = {"prompt": said, "chosen": said, "rejected": said}
    columns = "".join(f"| `{f.name}` | {known.get(f.name, str(f.type))} |\n" for f in fields)
    sizes = "".join(f"| {s} | {len(rows):,} |\n" for s, rows in splits.items())
    source = "".join(f"- {'  ' * r['depth']}{r['role']}: {_safe(r)}\n" for r in lineage)
    return (
        f"---\nlicense: {json.dumps(licence)}\npretty_name: {json.dumps(name, ensure_ascii=False)}\n"
        "configs:\n- config_name: default\n  data_files:\n" + "\n".join(files) + "\n---\n"
        f"# {name}\n\nPreferences, {_MADE_BY}: chosen has the higher score, ties are left out.\n"
        "Pairs of a `group` are in one split; keep them together when you split again.\n\n"
        f"| column | type |\n|---|---|\n{columns}\n| split | pairs |\n|---|---|\n{sizes}\n"
        f"Licence: {licence}; {_LICENCES}.\n\n## Where it comes from\n{source}"
    )


def _safe(record: dict[str, Any]) -> str:
    """A file by its name alone: a published card says nothing of the machine it was written on."""
    return f"{record['kind']} {Path(record['name']).name}, {record['identity']}"
