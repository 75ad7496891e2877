"""Embedding sets of strangers: what is wrong is said with file and row, and no such set is fitted on or joined."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from siege.base import SMOKE, Ground, case, judge
from siege.command import Ended

_P, _R, _S, _E, _C = (
    "prompts.parquet",
    "responses-a.parquet",
    "scores-a.parquet",
    "embeddings-a-hashing.parquet",
    "scales-a-hashing.parquet",
)
_RECORD = "set.json"
_ESCAPES = "\x1b[2J\x07\u202e"
Change = Callable[[Path], None]


def _record(how: Callable[[dict[str, Any]], object]) -> Change:
    def change(folder: Path) -> None:
        record = json.loads((folder / _RECORD).read_text())
        how(record)
        (folder / _RECORD).write_text(json.dumps(record))

    return change


def _file(name: str, content: bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(content) and None


def _signed(folder: Path, name: str, rows: int | None = None) -> None:
    """Whoever changes a file can change its checksum in the record, too."""
    content = (folder / name).read_bytes()

    def how(record: dict[str, Any]) -> None:
        record["files"][name] |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        if rows is not None:
            record["files"][name]["rows"] = rows

    _record(how)(folder)


def _table(name: str, how: Callable[[pa.Table], pa.Table]) -> Change:
    def change(folder: Path) -> None:
        table = how(pq.read_table(folder / name))
        pq.write_table(table, folder / name)
        _signed(folder, name, table.num_rows)

    return change


def _put(name: str, column: str, value: Any, row: int = 2) -> Change:
    """Another value in one row, or what a function makes of the value there."""

    def how(table: pa.Table) -> pa.Table:
        values = table[column].to_pylist()
        values[row] = value(values[row]) if callable(value) else value
        at = table.schema.get_field_index(column)
        return table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type))

    return _table(name, how)


def _in_place_of(name: str, make: Callable[[Path], object]) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return change


def _train_in_test(table: pa.Table) -> pa.Table:
    """The first prompt of each split has the same messages."""
    messages, split = table["messages"].to_pylist(), table["split"].to_pylist()
    messages[split.index("test")] = messages[split.index("train")]
    at = table.schema.get_field_index("messages")
    return table.set_column(at, table.schema.field(at), pa.array(messages, table.schema.field(at).type))


def _bomb(folder: Path) -> None:
    """A small file whose rows have gigabytes."""
    n = pq.read_metadata(folder / _R).num_rows
    table = pq.read_table(folder / _R)
    long = pa.DictionaryArray.from_arrays(pa.array([0] * n, pa.int32()), ["x" * 60_000_000])
    pq.write_table(table.set_column(table.schema.get_field_index("text"), "text", long), folder / _R)
    _signed(folder, _R)


def _no_parquet(folder: Path) -> None:
    _file(_S, b"x")(folder)
    _signed(folder, _S)


# name: (the change, what the check of the set says)
SETS: dict[str, tuple[Change, str]] = {
    "no-record": (lambda folder: (folder / _RECORD).unlink(), "it has no set.json"),
    "record-no-json": (_file(_RECORD, b"{"), "set.json cannot be read"),
    "record-a-list": (_file(_RECORD, b"[]"), "set.json: it: "),
    "record-deep": (_file(_RECORD, b'{"a":' * 100_000), "set.json cannot be read"),
    "record-no-utf-8": (_file(_RECORD, b'{"format": "\xff"}'), "set.json cannot be read"),
    "record-a-pipe": (_in_place_of(_RECORD, os.mkfifo), "no set.json"),
    "record-of-another-format": (_record(lambda r: r.update(format=99)), "format: "),
    "record-with-more": (_record(lambda r: r.update(run="rm -rf")), "run: "),
    "name-that-leads-out": (_record(lambda r: r["policies"][0].update(name="../../a")), "policies.0.name"),
    "name-of-markup": (_record(lambda r: r["rewards"][0].update(name="<script>")), "rewards.0.name"),
    "file-that-leads-out": (_record(lambda r: r["files"].update({"../x": r["files"][_S]})), "set.json lists ../x"),
    "file-of-escapes": (_record(lambda r: r["files"].update({_ESCAPES: r["files"][_S]})), "set.json lists "),
    "counts-negative": (_record(lambda r: r["prompts"].update(train=-1)), "prompts.train"),
    "counts-huge": (_record(lambda r: r["prompts"].update(train=2**70)), "prompts, but set.json says"),
    "no-licence": (lambda folder: (folder / "LICENSE").unlink(), "LICENSE cannot be read"),
    "licence-a-pipe": (_in_place_of("LICENSE", os.mkfifo), "LICENSE cannot be read"),
    "card-that-builds": (_file("README.md", b"---\n!!python/object/apply:os.system [touch owned]\n---\n"), "README.md"),
    "card-deep": (_file("README.md", b"---\n" + b"[" * 5000 + b"\n---\n"), "README.md"),
    "file-missing": (lambda folder: (folder / _S).unlink(), f"{_S} is missing"),
    "file-unlisted": (_file("embeddings-b-x.parquet", b"x"), "embeddings-b-x.parquet belongs to none"),
    "file-a-pipe": (_in_place_of(_S, os.mkfifo), _S),
    "file-a-folder": (_in_place_of(_S, Path.mkdir), _S),
    "another-checksum": (_file(_S, b"x" * 5000), f"{_S} has 5,000 bytes"),
    "no-parquet": (_no_parquet, "not a readable Parquet"),
    "bomb": (_bomb, f"{_R}"),
    "prompt-in-both-splits": (_table(_P, _train_in_test), "those of a prompt of the other split"),
    "prompt-unknown": (_put(_R, "prompt_id", "../../nobody"), "row 3: prompt ../../nobody is not in"),
    "prompt-without-role": (_put(_P, "messages", [{"role": "root", "content": "x"}]), "row 3: each message needs a role"),
    "id-twice": (_table(_R, lambda t: pa.concat_tables([t, t.slice(0, 1)])), "response_id"),
    "id-of-escapes": (_put(_S, "response_id", _ESCAPES), f"{_S}, row 3"),
    "score-nan": (_put(_S, "score", float("nan")), f"{_S}, row 3: score is nan"),
    "score-infinite": (_put(_S, "score", float("-inf")), f"{_S}, row 3: score is -inf"),
    "score-a-text": (
        _table(_S, lambda t: t.set_column(t.schema.get_field_index("score"), "score", t["score"].cast(pa.string()))),
        "'score' is string",
    ),
    "score-of-another-reward": (_put(_S, "reward", "joy"), "reward joy is not in set.json"),
    "scale-none": (_put(_C, "scale", 0.0), f"{_C}, row 3: scale is 0.0"),
    "scale-infinite": (_put(_C, "scale", float("inf")), f"{_C}, row 3: scale is inf"),
    "scales-out-of-order": (_table(_C, lambda t: t.take([1, 0, *range(2, t.num_rows)])), f"{_C}, row 1: dimension is 1"),
    "vector-of-zeros": (_put(_E, "embedding", lambda v: [0] * len(v)), f"{_E}, row 3: its vector is all zeros"),
    "vector-out-of-range": (_put(_E, "embedding", lambda v: [-128, *v[1:]]), f"{_E}, row 3: a value is -128"),
    "vectors-gone": (_table(_E, lambda t: t.slice(0, 0)), f"{_E} has no rows"),
    "vectors-narrower": (
        _table(_E, lambda t: t.set_column(1, "embedding", pc.list_slice(t["embedding"], 0, 3, return_fixed_size_list=True))),
        "embedding is not fixed_size_list",
    ),
}  # fmt: skip
_REFUSED = ("scale-infinite", "vectors-gone", "name-that-leads-out", "bomb")
# One row of each is left out, and the run says so: its reward failed, or its prompt is not among the prompts.
_LEFT_OUT = {
    "score-nan": "failed on 1 of 96 responses, which heads are neither fitted nor judged on",
    "prompt-unknown": "1 embeddings belong to no response and were left out",
}


def _make(ground: Ground) -> Callable[[Path], None]:
    """A small set, and a copy of it for each poison."""
    choice = (
        "release.license=CC-BY-4.0",
        "release.policies=['a: generation_seed=0']",
        "release.embedders=['hashing: embedder.dimension=40']",
    )

    def make(folder: Path) -> None:
        ground.rmlab("release", "set", *SMOKE, *choice, cwd=folder).fine()

    return make


def _poisoned(ground: Ground, names: list[str]) -> None:
    for name in names:
        place = ground.copy("set", _make(ground), f"at-{name}") / "set"
        place.rename(ground.folder / name)
        SETS[name][0](ground.folder / name)


@case("a poisoned set is no valid one, and the line says where")
def _(ground: Ground) -> None:
    names = ground.some(SETS)
    _poisoned(ground, names)
    ends = ground.each([["validate", name] for name in names])

    def check(name: str, ended: Ended) -> None:
        assert SETS[name][1] in ended.text, f"it does not say {SETS[name][1]!r}: {ended.text[-300:]}"
        ended.plain().refused(3)
        assert ended.peak < 1 << 30 and ended.seconds < 60, f"{ended.peak >> 20} MiB, {ended.seconds:.0f} s"

    judge(dict(zip(names, ends, strict=True)), check)
    assert not list(ground.folder.rglob("owned")), "code of a card was run"


@case("a poisoned set is not joined with a good one, and nothing is written")
def _(ground: Ground) -> None:
    ground.copy("set", _make(ground), "good")
    names = ground.some(name for name in SETS if name != "file-unlisted")[1::2]
    _poisoned(ground, names)
    ends = ground.each([["merge", f"out-{name}", "good/set", name] for name in names])
    judge(dict(zip(names, ends, strict=True)), lambda _, ended: ended.plain().refused(3) and None)
    assert not list(ground.folder.glob("out-*")), "something was written"


@case("no head is fitted on what is poisoned of a set", quick=False)
def _(ground: Ground) -> None:
    names = [*_REFUSED, *_LEFT_OUT]
    _poisoned(ground, names)
    few = ["comparisons.n=60", "comparisons.n_validation=15"]  # more cannot be drawn from a whole set, either
    ends = ground.each(
        [["run", "experiment=embedding_set", f"input={n}", f"out={n}-made", *few] for n in names]
    )

    def check(name: str, ended: Ended) -> None:
        if name in _LEFT_OUT:
            ended.fine(_LEFT_OUT[name])
            return
        ended.plain().refused(3)
        assert not list(ground.folder.glob(f"{name}-made/fit_rm/*/manifest.json")), "a head was fitted"

    judge(dict(zip(names, ends, strict=True)), check)
