"""rmlab score: score the texts of a file with a fitted head."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from rmlab.commands.options import as_options
from rmlab.commands.out_file import check_out_file, unwritable
from rmlab.errors import ConfigError, InputError
from rmlab.logs.progress import Progress
from rmlab.models.compute import check_device
from rmlab.pipeline.problems import Problems
from rmlab.reward.model import RewardModel
from rmlab.reward.rows import Accuracy, ScoreRows, read_score_rows
from rmlab.reward.scored import Long, ScoredTexts
from rmlab.storage.files import plain, replacing, write_parquet
from rmlab.terminal import note, say, say_json

COLUMNS = pa.schema(
    {
        "row": pa.int64(),
        "prompt_id": pa.string(),
        "response_id": pa.string(),
        "preference": pa.float64(),
        "score": pa.float64(),
        "n_tokens": pa.int32(),
        "truncated": pa.bool_(),
    }
)
_STDIN = "-"


@dataclass(frozen=True)
class ScoreOptions:
    """head: the artifact or folder of a fitted head; out: the file to write, None for standard output; form,
    columns, unusable: of the file, as in settings; long: cut or refuse texts that are longer than the model
    reads; base_model: where the embedding model lies now; allow_modules, trust_remote_code: what code may
    run."""

    head: Path
    out: Path | None
    form: str
    columns: Mapping[str, str]
    unusable: str
    long: Long
    device: str
    base_model: str | None
    allow_modules: tuple[str, ...]
    trust_remote_code: bool


def score_command(source: str, how: ScoreOptions, as_json: bool) -> None:
    model, rows = _ready(source, how, as_json)
    with Progress("score", "texts") as progress, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # texts that were cut are in the summary
        progress.start(len(rows.exchanges))
        scored = model.score_exchanges(
            rows.exchanges, progress.advance, how.long, lambda n: f"{source}, row {rows.row[n - 1]}: its text"
        )
    _write(rows, scored, how.out)
    _summarise(rows, scored, how, as_json)


def _read(path: Path, how: ScoreOptions) -> ScoreRows:
    """The rows of the file; an error names options of this command in the place of settings."""
    try:
        return read_score_rows(path, how.form, how.columns, how.unusable)
    except InputError as error:
        raise InputError(as_options(str(error))) from None


def _check_out(source: str, out: Path | None, as_json: bool) -> None:
    """Raises an error unless the scores can be written where they are asked for."""
    if out is None:
        if as_json:
            raise ConfigError("--json prints the summary where the scores would go; give a file with --out")
        return
    check_out_file(out, (".parquet", ".jsonl"), None if source == _STDIN else Path(source).expanduser())


def _ready(source: str, how: ScoreOptions, as_json: bool) -> tuple[RewardModel, ScoreRows]:
    """Returns the head and the rows to score, or tells all that is wrong before any model is loaded."""
    problems = Problems()
    with problems.caught():
        _check_out(source, how.out, as_json)
    with problems.caught():
        check_device(how.device)
    model: RewardModel | None = None
    with problems.caught():
        model = RewardModel.load(
            how.head,
            device=how.device,
            base_model=how.base_model,
            allow_modules=how.allow_modules,
            trust_remote_code=how.trust_remote_code,
        )
        model.find_model()
    rows: ScoreRows | None = None
    with problems.caught(), _file(source) as path:
        rows = _read(path, how)
    problems.raise_all()
    assert model is not None and rows is not None
    return model, rows


@contextmanager
def _file(source: str) -> Iterator[Path]:
    """The file to read; standard input is taken for JSONL and kept in a temporary file meanwhile."""
    if not source:
        raise ConfigError("give a file to score, or - for standard input")
    if source != _STDIN:
        yield Path(source).expanduser()
        return
    with tempfile.TemporaryDirectory(prefix="rmlab-score-") as folder:
        file = Path(folder) / "standard-input.jsonl"
        with file.open("wb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
        if not file.stat().st_size:
            raise InputError("standard input is empty; give JSON lines with a prompt and a response")
        try:
            yield file
        except InputError as error:
            raise InputError(str(error).replace(str(file), "standard input")) from None


def _write(rows: ScoreRows, scored: ScoredTexts, out: Path | None) -> None:
    table = pa.table(
        {
            "row": rows.row,
            "prompt_id": [e.prompt_id for e in rows.exchanges],
            "response_id": [e.response_id for e in rows.exchanges],
            "preference": pa.array(rows.preference, from_pandas=True),
            "score": scored.score,
            "n_tokens": scored.n_tokens,
            "truncated": scored.truncated,
        },
        schema=COLUMNS,
    )
    if out is None:
        say(*map(_line, table.to_pylist()))
        return
    try:
        if out.suffix == ".parquet":
            write_parquet(out, table)
        else:
            with replacing(out) as temporary, temporary.open("w", encoding="utf-8") as file:
                file.writelines(f"{_line(row)}\n" for row in table.to_pylist())
    except OSError as error:
        raise unwritable(out, error) from None


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, allow_nan=False)


def _summarise(rows: ScoreRows, scored: ScoredTexts, how: ScoreOptions, as_json: bool) -> None:
    accuracy = rows.accuracy(scored.score)
    cut = int(scored.truncated.sum())
    if as_json:
        told = {
            "head": str(how.head),
            "form": rows.form,
            "texts": len(rows.exchanges),
            "left_out": rows.left_out,
            "cut": cut,
            "accuracy": accuracy and asdict(accuracy),
            "out": str(how.out),
        }
        say_json(plain(told))
        return
    tell = note if how.out is None else say
    tell(f"{len(rows.exchanges):,} texts scored, read as the form {rows.form}")
    for reason, n in rows.left_out.items():
        tell(f"left out: {n:,}, since {reason}")
    if cut:
        tell(f"{cut:,} were longer than the embedding model reads and were cut (--long refuse stops there)")
    if accuracy:
        tell(_told(accuracy))
    if how.out is not None:
        tell(f"written to {how.out}")


def _told(a: Accuracy) -> str:
    if a.prompts == 1:
        return f"accuracy {a.accuracy:.3f} on {a.pairs:,} preferences of one prompt, which gives no interval"
    return (
        f"accuracy {a.accuracy:.3f} [{a.low:.3f}, {a.high:.3f}] on {a.pairs:,} preferences of "
        f"{a.prompts:,} prompts (a mean over prompts; 95 % interval by resampling prompts)"
    )
