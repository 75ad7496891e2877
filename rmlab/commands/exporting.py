"""rmlab export: prompts, responses and scores -> preference rows for TRL, or a folder for datasets."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from rmlab.commands.inspect import lineage
from rmlab.config.hydra import load_settings
from rmlab.data.forms.preference_rows import Preferences, Scored, Which, preference_rows, preference_schema
from rmlab.errors import ConfigError, InputError
from rmlab.paths import home_path
from rmlab.pipeline.chain import data_nodes
from rmlab.pipeline.verify import outdated
from rmlab.removal import refuse_link
from rmlab.storage.artifact import Artifact, open_artifact, upstream
from rmlab.storage.files import plain, replacing, write_parquet
from rmlab.storage.owned import MADE_BY, exported_files
from rmlab.storage.staged_folder import clear_leftovers, only_writer, staged_folder
from rmlab.terminal import say, say_json

_ROWS_PER_SHARD = 100_000
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
    """Writes data/train-00000-of-00001.parquet and so on, and README.md, the card, as a hub has them."""
    splits = {s: [r for r in rows if r["split"] == s] for s in ("train", "test")}
    with staged_folder(out) as folder:
        for split, part in splits.items():
            _write_shards(folder / "data", split, part, as_text)
        (folder / "README.md").write_text(_card(out.name, splits, as_text, licence, lineage), "utf-8")


def is_export(folder: Path) -> bool:
    """True if the folder is empty, or holds what write_folder writes."""
    return bool(exported_files(folder)) or not any(folder.iterdir())


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
        f"# {name}\n\nPreferences, {MADE_BY}: chosen has the higher score, ties are left out.\n"
        "Pairs of a `group` are in one split; keep them together when you split again.\n\n"
        f"| column | type |\n|---|---|\n{columns}\n| split | pairs |\n|---|---|\n{sizes}\n"
        f"Licence: {licence}; {_LICENCES}.\n\n## Where it comes from\n{source}"
    )


def _safe(record: dict[str, Any]) -> str:
    """A file by its name alone: a published card says nothing of the machine it was written on."""
    return f"{record['kind']} {Path(record['name']).name}, {record['identity']}"


_MOST = 5_000_000  # pairs, which are all held at once


@dataclass(frozen=True)
class ExportOptions:
    to: Literal["trl", "datasets"]
    pairs: Which
    licence: str
    force: bool


@dataclass(frozen=True)
class _Inputs:
    prompts: Artifact
    sample: Artifact
    annotate: Artifact


def export_command(
    out: Path,
    overrides: Sequence[str],
    source: Path | None,
    options: ExportOptions,
    as_json: bool,
    config_dir: Path | None,
) -> None:
    if source and overrides:
        raise ConfigError(f"--from {source} says it all; leave out {overrides[0]}, or leave out --from")
    clear_leftovers(out)
    _check_place(out, options)
    inputs = _of_artifact(source) if source else _of_settings(overrides, config_dir)
    known = inputs.prompts.manifest.metrics
    if known.get("form") == "arrays":
        raise InputError("what was imported from arrays has no texts to export")
    as_text = bool(known.get("text")) and _are_single(inputs.prompts)
    found = _preferences(inputs, options.pairs, as_text)
    if not found.rows:
        raise InputError(f"no pair of responses has different scores ({found.ties} ties); nothing to export")
    with only_writer(out) as place:
        _check_place(place, options)  # another process may have written it meanwhile
        if options.to == "trl":
            write_rows(place, found.rows, as_text)
        else:
            write_folder(place, found.rows, as_text, options.licence, lineage(inputs.annotate))
    _print(out, found, as_json)


def _check_place(out: Path, options: ExportOptions) -> None:
    refuse_link(home_path(str(out)))
    if options.to == "trl" and out.suffix not in (".jsonl", ".parquet"):
        raise ConfigError(f"{out}: give a name that ends with .jsonl or .parquet, or --to datasets")
    if out.is_dir() != (options.to == "datasets") and out.exists():
        raise ConfigError(f"{out} is a {'folder' if out.is_dir() else 'file'}; give another name")
    if out.exists() and not options.force:
        raise ConfigError(f"{out} is there already; give another name, or overwrite it with --force")
    if out.is_dir() and not is_export(out):
        raise ConfigError(f"{out} is no folder that an export wrote; give another name")


def _of_settings(overrides: Sequence[str], config_dir: Path | None) -> _Inputs:
    nodes = data_nodes(load_settings(overrides, config_dir))
    for role in ("prompts", "sample", "judge"):
        if nodes[role].state.name in ("missing", "begun"):
            raise InputError(
                f"{nodes[role].stage} is not done for these settings: run `rmlab import` or `rmlab annotate` "
                "with them first"
            )
    return _Inputs(nodes["prompts"].open(), nodes["sample"].open(), nodes["judge"].open())


def _of_artifact(folder: Path) -> _Inputs:
    annotate = open_artifact(folder)
    if annotate.manifest.stage != "annotate":
        raise InputError(f"{folder} is of the stage {annotate.manifest.stage}; give one of annotate")
    if why := outdated(folder):
        raise InputError(f"{folder} is stale: {why}; again: {annotate.manifest.command}")
    paths = {r.role: upstream(folder, r) for r in annotate.manifest.inputs if r.kind == "artifact"}
    return _Inputs(open_artifact(paths["prompts"]), open_artifact(paths["sample"]), annotate)


def _are_single(prompts: Artifact) -> bool:
    """True if each prompt is a single user message, and so can be written as text."""
    rows = prompts.read(columns=["messages"])["messages"].to_pylist()
    return all(len(m) == 1 and m[0]["role"] == "user" for m in rows)


def _preferences(inputs: _Inputs, which: Which, as_text: bool) -> Preferences:
    scores = inputs.annotate.read(columns=["response_id", "score"])
    by_id = dict(zip(*(scores[c].to_pylist() for c in ("response_id", "score")), strict=True))
    responses: dict[str, list[Scored]] = defaultdict(list)
    for row in inputs.sample.read(columns=["prompt_id", "response_id", "sample_index", "text"]).to_pylist():
        if row["response_id"] not in by_id:
            raise InputError(f"{inputs.annotate.path}: no score for {row['response_id']}; run annotate again")
        scored = Scored(row["response_id"], row["text"], by_id[row["response_id"]])
        responses[row["prompt_id"]].append(scored)
    n = sum(math.comb(len(found), 2) for found in responses.values())
    if which == "all" and n > _MOST:
        raise InputError(f"{n:,} pairs are too many for one export; write fewer with --pairs best")
    rows: list[dict[str, Any]] = []
    ties = 0
    for prompt in inputs.prompts.read().to_pylist():
        found, tied = preference_rows(prompt, responses[prompt["prompt_id"]], which, as_text)
        rows += found
        ties += tied
    return Preferences(rows, ties)


def _print(out: Path, found: Preferences, as_json: bool) -> None:
    splits = dict(Counter(row["split"] for row in found.rows))
    if as_json:
        made = {"path": str(out), "pairs": len(found.rows), "ties_left_out": found.ties, "splits": splits}
        say_json(plain(made))
        return
    shown = ", ".join(f"{n:,} {split}" for split, n in splits.items())
    say(f"{out}: {len(found.rows):,} pairs ({shown}); {found.ties:,} ties were left out")
