"""The manifest of an artifact: what it is, what it was made of, and the digest of every file in it."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rmlab.errors import InputError
from rmlab.storage.digest import digest, sealed, unsealed
from rmlab.storage.files import json_text, parse_json, write_text

FORMAT = 2
MANIFEST, COPY = "manifest.json", ".manifest-copy.json"
WORK = ".work"  # what a stage may keep for its own resumption; gone when it is done
_LONGEST = 255  # characters of a file's name


@dataclass(frozen=True)
class FileRecord:
    """counts: of a part, as the stage gave them; a repair that makes other parts needs them."""

    name: str
    bytes: int
    sha256: str
    rows: int = 0
    counts: dict[str, int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class InputRecord:
    """Where an artifact comes from: another artifact, or a file, folder or model outside.

    fingerprint: what was asked for; content: what an artifact held then, which another device may change.
    """

    role: str
    kind: str  # artifact, or what a source is
    name: str
    fingerprint: str
    path: str
    content: str = ""


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
    folder: str = ""  # that the command was given in
    place: str = ""  # the artifact's own folder when it was written
    rows_per_shard: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    git: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def made_of(self) -> dict[str, str]:
        """What the artifacts that this one was made of held, by role."""
        return {record.role: record.content for record in self.inputs if record.kind == "artifact"}

    @property
    def is_in_parts(self) -> bool:
        """Tells whether it has parts and nothing else, so that some can be made again without the others."""
        return all(re.fullmatch(r"part-\d{5,9}\.parquet", record.name) for record in self.files)

    @property
    def content(self) -> str:
        """Digest of all that the artifact holds."""
        return digest({record.name: record.sha256 for record in self.files})


class OldFormat(InputError):
    """An artifact of an earlier rmlab, which has to be made again."""


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """The copy is there first, for the day that the manifest cannot be read."""
    text = json_text(sealed(manifest.to_json()))
    write_text(folder / COPY, text)
    write_text(folder / MANIFEST, text)


def read_manifest(folder: Path, name: str = MANIFEST) -> Manifest:
    """InputError in one line where it is not byte for byte what was written."""
    try:
        text = (folder / name).read_bytes().decode("utf-8")
        found = parse_json(text).get("format") if text.startswith("{") else None
        if found == 1:
            raise OldFormat(f"{folder} was made by an earlier rmlab, and is made again by the same command")
        if found != FORMAT:
            raise ValueError(f"expected format {FORMAT}")
        unsealed(text)
        return _parsed(text)
    except (OSError, ValueError) as error:
        raise InputError(damaged(folder / name, _reason(error), folder)) from None


def damaged(file: Path, why: str, folder: Path) -> str:
    return f"{file} is damaged ({why}); mend it: rmlab verify --repair {folder}"


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "it is missing"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, ValidationError):
        return f"{'.'.join(map(str, error.errors()[0]['loc']))}: {error.errors()[0]['msg']}"[:200]
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


_SHAPE = TypeAdapter(Manifest)


def _parsed(text: str) -> Manifest:
    """The types are as they should be, and no name leads out of the folder."""
    manifest = _SHAPE.validate_json(text, strict=True)
    for record in manifest.files:
        _check_name(record.name)
    for source in manifest.inputs:
        if source.kind == "artifact":
            _check_upstream(source.path)
    return manifest


def _check_name(name: str) -> None:
    parts = name.split("/")
    if "\0" in name or len(name) > _LONGEST or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"impossible file name {name[:50]!r}")


def _check_upstream(path: str) -> None:
    """Artifacts lie beside each other: ../../stage/folder."""
    if not path.startswith("../../"):
        raise ValueError(f"impossible place of an input {path[:50]!r}")
    _check_name(path.removeprefix("../../"))
