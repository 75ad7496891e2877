"""Prove that a refactor changes no result: run two versions of rmlab, and compare all that they computed.

python scripts/same_results.py COMMIT [COMMIT]     # the second is the working tree if it is left out
python scripts/same_results.py HEAD~3 HEAD --keep /tmp/kept   # keeps what COMMITs gave, for the next time
python scripts/same_results.py HEAD~3 --across-ids # where ids of responses, and draws with them, have changed

A version is a commit, `.` for the working tree, or any folder with rmlab/, conf/ and data/. Each is copied
into a temporary folder and run from there: the smoke test with cross-validation, the heads of the demo and
more on the shipped embedding set, and one set-up of the study with heads made small. Then every table, every
saved head and every tensor is compared bit by bit. Manifests, reports and pictures are not compared, since
they hold times and paths.

Exit codes: 0 all is the same, 1 something differs, 2 a version could not be run.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from rmlab.processes import run

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("rmlab", "conf", "data")  # the folders of a version that a run reads
SET = "data/released/openings-smollm2"

# Columns that are not compared, by the file that has them.
IGNORED: dict[str, tuple[str, ...]] = {
    "results.parquet": (
        "cell",  # a fingerprint of all settings, which changes when a setting gets another name
        "settings",  # all settings as JSON
        "fit_seconds",  # time on the clock
        "seconds",  # time on the clock
    ),
    "cell_prompts.parquet": ("cell",),
    "head.json": (
        "digest",
        "sha256",
    ),  # digests of this file, and of the numbers beside it, which are compared
}
TABLES = ("*.parquet", "*.safetensors", "head.json", "head.txt")  # the files of an artifact that are compared

# Heads beside those of the demo: every other kind of head, and what can be put on top of one.
MORE_ARMS = (
    "head=laplace",
    "head=directions",
    "head=trees loss=bradley_terry",
    "head=linear head.centre=prompt",
    "head=mlp ensemble.members=2 ensemble.combine=lcb",
    "head=linear loss=robust_btl",
    "head=linear pairing=lists pairing.k=4 loss=plackett_luce",
    "head=linear pairing=cross_prompt noise=crowd",
    "head=linear teacher.n=300",
)
# In the study, settings of heads that are so many times smaller: units of a layer, trees, and passes.
SMALLER = {"hidden": 16, "n_estimators": 16, "epochs": 4}
MAY_FAIL = (0, 4)  # exit codes of rmlab: done, and done though some cells of a sweep failed


# ------------------------------------------------------------------------------ running a version


@dataclass(frozen=True)
class Part:
    """A command of rmlab that is run; is_small says that its heads are made small."""

    name: str
    words: tuple[str, ...]
    is_small: bool = False


def all_parts(source: Path) -> list[Part]:
    """The commands to run; the arms and sizes of the demo are those of the version itself."""
    demo = yaml.safe_load((source / "conf" / "experiment" / "demo.yaml").read_text(encoding="utf-8"))
    given = ("experiment=embedding_set", f"input={SET}", "set.reward=sentiment", "set.embedder=smollm2")
    sizes = tuple(f"comparisons.{name}={value}" for name, value in demo["comparisons"].items())
    arms = f"arms={[*demo['arms'], *MORE_ARMS]}"
    return [
        Part("smoke", ("run", "experiment=smoke", "crossval.folds=2")),
        Part("heads", ("run", *given, "set.policy=sft", *sizes, arms)),
        Part("study", ("reproduce", *given, "set.policy=base", "seed=0,1"), is_small=True),
    ]


@dataclass(frozen=True)
class Version:
    """What is run: its name in messages, its folder, and its commit, which is None for a folder of files."""

    name: str
    source: Path
    commit: str | None


class CannotRun(Exception):
    """A version does not exist, or its commands fail."""


def export(text: str, to: Path, name: str) -> Version:
    """Copies the version that the text names into the folder `to`."""
    to.mkdir(parents=True)
    folder = ROOT if text == "." else Path(text)
    if (folder / "rmlab" / "__init__.py").is_file():
        for needed in NEEDED:
            shutil.copytree(folder / needed, to / needed, ignore=shutil.ignore_patterns("__pycache__"))
        return Version(f"{name} ({text})", to, None)
    found = _git("rev-parse", "--verify", "--quiet", f"{text}^{{commit}}")
    if found.returncode:
        raise CannotRun(f"{text} is neither a commit nor a folder with a package rmlab")
    commit = found.stdout.decode().strip()
    archive = _git("archive", commit, *NEEDED)
    if archive.returncode:
        raise CannotRun(f"git archive {text}: {archive.stderr.decode().strip()}")
    run(["tar", "--extract", "--directory", to], input=archive.stdout, check=True)
    return Version(f"{name} ({text}, {commit[:9]})", to, commit)


def _git(*words: str) -> Any:
    return run(["git", "-C", ROOT, *words], capture_output=True)


def with_small_heads(source: Path) -> Path:
    """A copy of the version beside it, whose heads are SMALLER; in all else it is the same."""
    small = source.with_name(f"{source.name}-small")
    if not small.exists():
        for needed in ("rmlab", "conf"):
            shutil.copytree(source / needed, small / needed)
        (small / "data").symlink_to(source / "data")
        for file in (small / "conf" / "head").glob("*.yaml"):
            text = file.read_text(encoding="utf-8")
            file.write_text(
                re.sub(rf"(?m)^({'|'.join(SMALLER)}): [^#\n]*", _small_line, text), encoding="utf-8"
            )
    return small


def _small_line(line: re.Match[str]) -> str:
    return re.sub(r"\d+", lambda size: str(max(1, int(size[0]) // SMALLER[line[1]])), line[0])


def run_version(version: Version, parts: Sequence[Part], outputs: Path) -> dict[str, Path]:
    """Runs the parts that the folder of outputs does not have yet; returns the folder of each part."""
    found = {}
    for part in parts:
        out, receipt = outputs / part.name, outputs / f"{part.name}.json"
        if _is_kept(receipt, part) and out.is_dir():
            print(f"{version.name}: {part.name} is kept from an earlier run", flush=True)
        else:
            shutil.rmtree(out, ignore_errors=True)
            receipt.unlink(missing_ok=True)
            _run_part(version, part, out)
            receipt.write_text(json.dumps(_receipt(part)), encoding="utf-8")
        found[part.name] = out
    return found


def _is_kept(receipt: Path, part: Part) -> bool:
    """Whether the same command was run to its end, with the same packages installed."""
    return receipt.is_file() and json.loads(receipt.read_text(encoding="utf-8")) == _receipt(part)


def _receipt(part: Part) -> dict[str, Any]:
    installed = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
    smaller = SMALLER if part.is_small else {}
    return {"words": list(part.words), "smaller": smaller, "installed": dict(sorted(installed.items()))}


def _run_part(version: Version, part: Part, out: Path) -> None:
    source = with_small_heads(version.source) if part.is_small else version.source
    out.parent.mkdir(parents=True, exist_ok=True)
    environment = {
        "PYTHONPATH": str(source),
        "RMLAB_CACHE": str(source.with_name(f"{source.name}-cache")),
        "HF_HUB_OFFLINE": "1",
    }
    _check_imported(source, environment)
    print(f"{version.name}: {part.name} runs ...", flush=True)
    started, log = time.perf_counter(), out.with_name(f"{part.name}.log")
    with log.open("wb") as told:
        command = [sys.executable, "-m", "rmlab", *part.words, f"out={out}"]
        done = run(command, environment=environment, cwd=source, stdout=told, stderr=told)
    if done.returncode not in MAY_FAIL:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise CannotRun(f"{version.name}: {part.name} ended with exit code {done.returncode}:\n{end}")
    some = ", though some cells failed" if done.returncode else ""
    print(f"{version.name}: {part.name} took {time.perf_counter() - started:.0f} s{some}", flush=True)


def _check_imported(source: Path, environment: Mapping[str, str]) -> None:
    """The package that Python finds is that of the version, and not the one that is installed."""
    ask = [sys.executable, "-c", "import rmlab; print(rmlab.__file__)"]
    told = run(ask, environment=environment, cwd=source, capture_output=True, text=True, check=True)
    if Path(told.stdout.strip()).resolve() != (source / "rmlab" / "__init__.py").resolve():
        raise CannotRun(f"Python imports {told.stdout.strip()} and not the package in {source}")


# ------------------------------------------------------------------------------ what a table holds

Content = dict[str, pa.Array]  # the columns of a table, or the tensors of a file, by their names


def tables_of(out: Path) -> dict[str, list[Path]]:
    """The files of each table below a folder of artifacts, by `stage/artifact/file`.

    The names of artifacts are without their fingerprints, and all parts of a table are one table.
    """
    found: dict[str, list[Path]] = {}
    folders: dict[str, Path] = {}
    for folder in sorted(out.glob("*/*/")):
        files = [path for path in sorted(folder.rglob("*")) if _is_compared(path.relative_to(folder))]
        name = f"{folder.parent.name}/{re.sub(r'-[0-9a-f]{16}$', '', folder.name)}"
        if files and folders.setdefault(name, folder) != folder:
            raise CannotRun(f"{folders[name]} and {folder} have the same name, so neither can be compared")
        for path in files:
            file = re.sub(r"part-\d+", "part-*", path.relative_to(folder).as_posix())
            found.setdefault(f"{name}/{file}", []).append(path)
    return found


def _is_compared(name: Path) -> bool:
    is_hidden = any(part.startswith(".") for part in name.parts)
    return not is_hidden and any(name.match(pattern) for pattern in TABLES)


def read_content(paths: Sequence[Path]) -> Content:
    """The content of a table that is in these files one after the other."""
    first = paths[0]
    if first.suffix == ".parquet":
        table = pa.concat_tables([pq.read_table(path, partitioning=None) for path in paths])
        return {name: _whole(table[name]) for name in table.column_names}
    if first.suffix == ".safetensors":
        from safetensors.numpy import load_file

        tensors = load_file(first)
        return {f"{name} {list(x.shape)}": pa.array(x.ravel()) for name, x in sorted(tensors.items())}
    text = first.read_text(encoding="utf-8")
    if first.suffix == ".json":
        return dict(_leaves("", json.loads(text)))
    return {"line": pa.array(text.splitlines())}


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """One array with plain values in place of a dictionary."""
    one = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    return one.dictionary_decode() if pa.types.is_dictionary(one.type) else one


def _leaves(name: str, value: Any) -> Iterable[tuple[str, pa.Array]]:
    """Each value of a JSON document by its path, such as `normalisation.mean`; numbers stay numbers."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}" if name else key, inner)
        return
    several = value if isinstance(value, list) else [value]
    is_number = all(isinstance(x, int | float) and not isinstance(x, bool) for x in several)
    yield name, pa.array([float(x) for x in several]) if is_number else pa.array([json.dumps(value)])


def digest_of(column: pa.Array) -> str:
    """A digest of the type and of every value, whatever the layout in memory; all NaN are alike."""
    digest = hashlib.sha256()
    _feed(digest, column)
    return digest.hexdigest()


def _feed(digest: Any, array: pa.Array) -> None:
    digest.update(f"{array.type} {len(array)} {array.null_count};".encode())
    if array.null_count:
        digest.update(np.packbits(_numbers(array.is_null())).tobytes())
        array = array.drop_null()
    if _is_list(array.type):
        digest.update(_numbers(pc.list_value_length(array)).tobytes())
        _feed(digest, array.flatten())
    elif pa.types.is_struct(array.type):
        for child in array.flatten():
            _feed(digest, child)
    elif _is_number(array.type):
        digest.update(_bits(array).tobytes())
    elif not pa.types.is_null(array.type):  # text
        texts = [str(value).encode() for value in array.to_pylist()]
        digest.update(np.array([len(text) for text in texts], np.int64).tobytes())
        digest.update(b"".join(texts))


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def _numbers(array: pa.Array) -> np.ndarray:
    return array.to_numpy(zero_copy_only=False)


def _bits(array: pa.Array) -> np.ndarray:
    """Numbers as whole numbers of the same bits, so that 0.0 is not -0.0, and NaN is NaN."""
    values = _numbers(array)
    if values.dtype.kind != "f":
        return values
    values = np.where(np.isnan(values), np.array(np.nan, values.dtype), values)
    return values.view(f"i{values.dtype.itemsize}")


# ------------------------------------------------------------------------------ comparing


def difference(one: Content, other: Content, ignored: Sequence[str] = ()) -> str | None:
    """The first difference of two tables in words, or None where they are the same bit by bit.

    The order of rows counts, that of columns does not; ignored names columns that are not looked at.
    """
    names = [[name for name in content if name not in ignored] for content in (one, other)]
    if alone := [name for name in names[0] if name not in names[1]]:
        return f"column {alone[0]} is missing in the second"
    if alone := [name for name in names[1] if name not in names[0]]:
        return f"column {alone[0]} is missing in the first"
    differing = [name for name in names[0] if digest_of(one[name]) != digest_of(other[name])]
    if not differing:
        return None
    first = differing[0]
    more = f" (and {len(differing) - 1} more)" if len(differing) > 1 else ""
    return f"column {first}{more}: {_how_far(one[first], other[first])}"


def _how_far(one: pa.Array, other: pa.Array) -> str:
    """How two columns differ: in type, in length, or by how much in how many values."""
    if one.type != other.type:
        return f"type {one.type} against {other.type}"
    if len(one) != len(other):
        return f"{len(one):,} values against {len(other):,}"
    if _is_number(one.type):
        return _how_far_numbers(one, other)
    if _is_list(one.type) and pc.list_value_length(one).equals(pc.list_value_length(other)):
        return _how_far(one.flatten(), other.flatten())
    pairs = [(a, b) for a, b in zip(one.to_pylist(), other.to_pylist(), strict=True) if a != b]
    if not pairs:
        return "values differ in their bits alone"
    a, b = (repr(value)[:60] for value in pairs[0])
    return f"{len(pairs):,} of {len(one):,} values differ, such as {a} against {b}"


def _how_far_numbers(one: pa.Array, other: pa.Array) -> str:
    is_null = [_numbers(array.is_null()) for array in (one, other)]
    there = pa.array(~(is_null[0] | is_null[1]))
    one, other = one.filter(there), other.filter(there)
    n = int((_bits(one) != _bits(other)).sum()) + int((is_null[0] != is_null[1]).sum())
    a, b = (_numbers(array).astype(np.float64) for array in (one, other))
    with np.errstate(invalid="ignore"):
        gaps = np.abs(a - b)
    lost = int((np.isnan(a) != np.isnan(b)).sum()) + int((is_null[0] != is_null[1]).sum())
    largest = np.nanmax(gaps) if np.isfinite(gaps).any() else np.nan
    missing = f", {lost:,} of them NaN or null on one side" if lost else ""
    return f"{n:,} of {len(there):,} values differ{missing}; largest absolute difference {largest:.3g}"


@dataclass(frozen=True)
class Line:
    """The outcome for one table; difference is None where it is the same."""

    table: str
    difference: str | None
    note: str = ""

    def __str__(self) -> str:
        if self.difference is None:
            return f"same       {self.table}{self.note}"
        word = "missing   " if self.difference.startswith("missing") else "DIFFERENT "
        return f"{word} {self.table}: {self.difference}"


def compare(one: Path, other: Path) -> list[Line]:
    """A line for each table that either of two folders of artifacts has."""
    sides = tables_of(one), tables_of(other)
    lines = []
    for table in sorted(sides[0].keys() | sides[1].keys()):
        if table not in sides[0] or table not in sides[1]:
            side = "first" if table not in sides[0] else "second"
            lines.append(Line(table, f"missing in the {side}"))
        else:
            one_content, other_content = (read_content(side[table]) for side in sides)
            ignored = IGNORED.get(table.rpartition("/")[2], ())
            lines.append(Line(table, difference(one_content, other_content, ignored)))
    return lines


# ------------------------------------------------------------------------------ comparing across ids

READ = {"sample": "text", "annotate": "score", "embed": "embedding"}  # stage -> the column that has to stay


def compare_across_ids(one: Path, other: Path) -> list[Line]:
    """A line for each table of responses, scores and embeddings, and one for the findings of a study.

    Responses are told by their prompt's text and their number, since ids may have changed. Findings may
    rest on other draws: each effect has to be within the interval that the other version gives it.
    """
    sides = _by_prompt(one), _by_prompt(other)
    lines = []
    for table in sorted(sides[0].keys() | sides[1].keys()):
        if table not in sides[0] or table not in sides[1]:
            side = "first" if table not in sides[0] else "second"
            lines.append(Line(table, f"missing in the {side}"))
        else:
            lines.append(Line(table, difference(sides[0][table], sides[1][table])))
    findings = [next(iter(sorted(out.glob("study/*/findings.parquet"))), None) for out in (one, other)]
    if findings[0] and findings[1]:
        lines.append(compare_findings(pd.read_parquet(findings[0]), pd.read_parquet(findings[1])))
    elif findings[0] or findings[1]:
        lines.append(Line("study/findings", f"missing in the {'second' if findings[0] else 'first'}"))
    return lines


def _by_prompt(out: Path) -> dict[str, Content]:
    """The columns of READ with their prompts' texts and sample numbers, in the order of these."""
    tables = {name: paths for name, paths in tables_of(out).items() if name.endswith("part-*.parquet")}
    prompts = _all(tables, "prompts").to_pandas()
    prompts["prompt"] = [json.dumps([dict(m) for m in messages]) for messages in prompts["messages"]]
    responses = _all(tables, "sample").select(["prompt_id", "response_id", "sample_index"]).to_pandas()
    keys = responses.merge(prompts[["prompt_id", "prompt", "source_row"]], on="prompt_id", validate="m:1")
    keys = keys.sort_values(["prompt", "source_row", "sample_index"], kind="stable")
    keys = keys.drop_duplicates("response_id")
    found = {}
    for name, paths in tables.items():
        if (stage := name.partition("/")[0]) in READ:
            content = read_content(paths)
            place = pc.index_in(pa.array(keys["response_id"]), content["response_id"])
            is_there = place.is_valid()
            known = {k: pa.array(keys[k]).filter(is_there) for k in ("prompt", "sample_index")}
            found[name] = {**known, READ[stage]: content[READ[stage]].take(place.drop_null())}
    return found


def _all(tables: Mapping[str, list[Path]], stage: str) -> pa.Table:
    paths = [path for name, found in tables.items() if name.startswith(f"{stage}/") for path in found]
    return pa.concat_tables([pq.read_table(path, partitioning=None) for path in paths])


def compare_findings(one: pd.DataFrame, other: pd.DataFrame) -> Line:
    """Every effect of either table is within the other's interval; says how many verdicts are other words."""
    key, table = ["finding", "claim"], "study/findings"
    both = one.merge(other, on=key, how="outer", suffixes=("", "_2"), indicator="side")
    alone = both[both["side"] != "both"]
    if len(alone):
        side = "second" if alone["side"].iloc[0] == "left_only" else "first"
        return Line(table, f"the claim '{alone['claim'].iloc[0]}' is missing in the {side}")
    not_run = both["effect"].isna() & both["effect_2"].isna()
    is_within = both["effect_2"].between(both["low"], both["high"])
    is_within &= both["effect"].between(both["low_2"], both["high_2"])
    outside = both[~(is_within | not_run)]
    words = int((both["verdict"] != both["verdict_2"]).sum())
    gap = (both["effect"] - both["effect_2"]).abs().max()
    note = f" ({len(both)} claims, effects at most {gap:.3g} apart, {words} verdicts are other words)"
    if len(outside):
        row = outside.iloc[0]
        told = f"{row['effect']:+.3f} against {row['effect_2']:+.3f} of '{row['claim']}'"
        return Line(table, f"{len(outside)} of {len(both)} effects are outside the other's interval: {told}")
    return Line(table, None, note)


# ------------------------------------------------------------------------------ the command line


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("first", metavar="COMMIT", help="a commit, or a folder")
    parser.add_argument(
        "second", metavar="COMMIT", nargs="?", default=".", help="the same; .: the working tree"
    )
    parser.add_argument("--across-ids", action="store_true", help="by prompt and number, not by id")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep what commits gave, and take it again"
    )
    parser.add_argument("--only", action="append", metavar="PART", help="smoke, heads or study")
    given = parser.parse_args(words)
    try:
        with tempfile.TemporaryDirectory(prefix="same_results-") as temporary:
            return _compare_versions(given, Path(temporary).resolve())
    except CannotRun as problem:
        print(f"same_results: {problem}", file=sys.stderr)
        return 2


def _compare_versions(given: argparse.Namespace, temporary: Path) -> int:
    sides = []
    texts = {"first": given.first, "second": given.second}
    versions = [export(text, temporary / name, name) for name, text in texts.items()]
    for version in versions:
        parts = all_parts(version.source)
        if unknown := set(given.only or ()) - {part.name for part in parts}:
            raise CannotRun(f"there is no part {min(unknown)}; there is: {', '.join(p.name for p in parts)}")
        wanted = [part for part in parts if not given.only or part.name in given.only]
        outputs = version.source.with_name(f"{version.source.name}-outputs")
        is_second_of_one = version is versions[1] and version.commit == versions[0].commit
        if given.keep and version.commit and not is_second_of_one:
            outputs = given.keep.resolve() / version.commit
        sides.append(run_version(version, wanted, outputs))
    how = compare_across_ids if given.across_ids else compare
    lines = []
    for part, out in sides[0].items():
        for line in how(out, sides[1][part]):
            lines.append(line)
            print(f"{part:8} {line}", flush=True)
    differing = sum(line.difference is not None for line in lines)
    print(f"{len(lines)} tables: {len(lines) - differing} are the same, {differing} differ or are missing")
    return 1 if differing or not lines else 0


if __name__ == "__main__":
    sys.exit(main())
