"""An artifact: a directory of Parquet parts or files and a manifest.json that is written last."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from rmlab.artifacts.files import read_parquet
from rmlab.errors import InputError

FORMAT = 1


@dataclass(frozen=True)
class FileRecord:
    name: str
    bytes: int
    sha256: str
    rows: int = 0


@dataclass(frozen=True)
class InputRecord:
    """Where an artifact comes from: another artifact, or a file, folder or model outside."""

    role: str
    kind: str  # artifact or source
    name: str
    fingerprint: str
    path: str


@dataclass(frozen=True)
class Manifest:
    stage: str
    name: str
    version: int
    fingerprint: str
    config: dict[str, Any]
    inputs: list[InputRecord]
    files: list[FileRecord]
    rows: int
    counts: dict[str, int | float] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    created: str = ""
    command: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    git: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Manifest:
        inputs = [InputRecord(**i) for i in data.pop("inputs")]
        files = [FileRecord(**f) for f in data.pop("files")]
        return Manifest(inputs=inputs, files=files, **data)


@dataclass(frozen=True)
class Artifact:
    path: Path
    manifest: Manifest

    @property
    def parts(self) -> list[Path]:
        return [self.path / f.name for f in self.manifest.files if f.name.startswith("part-")]

    def read(self, table: str = "part", columns: list[str] | None = None) -> pa.Table:
        """The whole of a table: all parts, or the one file that bears the table's name."""
        if table != "part":
            return read_parquet(self.path / f"{table}.parquet", columns)
        return pa.concat_tables([read_parquet(p, columns) for p in self.parts]).combine_chunks()

    def stream(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        for part in self.parts:
            yield read_parquet(part, columns)


def open_artifact(path: Path) -> Artifact:
    """Opens a finished artifact; one clear line when it is absent, unfinished or damaged."""
    file = path / "manifest.json"
    if not path.is_dir():
        raise InputError(f"{path} is not an artifact: no such folder")
    if not file.is_file():
        raise InputError(f"{path} is not finished: it has no manifest.json; run its stage again")
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ValueError(f"expected format {FORMAT}")
        manifest = Manifest.from_json(data)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{file} is damaged ({error}); run its stage again with --force") from None
    _check_files(path, manifest)
    return Artifact(path, manifest)


def _check_files(path: Path, manifest: Manifest) -> None:
    for record in manifest.files:
        file = path / record.name
        size = file.stat().st_size if file.is_file() else -1
        if size != record.bytes:
            state = "is missing" if size < 0 else f"has {size} bytes instead of {record.bytes}"
            raise InputError(f"{file} {state}; run `rmlab {manifest.stage.replace('_', '-')}` with --force")
