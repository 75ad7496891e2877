"""The manifest of an artifact: its identity, its inputs, and the digest of every file in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rmlab.errors import InputError
from rmlab.storage.digest import digest, sealed, unsealed
from rmlab.storage.files import is_withheld, json_text, parse_json, write_text

FORMAT = 2
MANIFEST, COPY = "manifest.json", ".manifest-copy.json"
WORK = ".work"  # a stage's own files for resuming; removed when it is done
_LONGEST = 255  # characters of a file's name


@dataclass(frozen=True)
class FileRecord:
    """A file of an artifact. counts: those of a part, which a repair needs when it makes other parts."""

    name: str
    bytes: int
    sha256: str
    rows: int = 0
    counts: dict[str, int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class InputRecord:
    """An input of an artifact: another artifact, or a file, folder or model outside.

    fingerprint: identity of the input; content: digest of the artifact that was read, which can differ
    between devices at equal fingerprints.
    """

    role: str
    kind: str  # artifact, or the kind of a source, such as file
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
    folder: str = ""  # the working folder of the command
    place: str = ""  # the artifact's own folder when it was written
    rows_per_shard: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    git: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def made_of(self) -> dict[str, str]:
        """Digests of the contents of the artifacts that it was made of, by role."""
        return {record.role: record.content for record in self.inputs if record.kind == "artifact"}

    @property
    def is_in_parts(self) -> bool:
        """True if it has only parts, so that some of them can be made again without the others."""
        return all(re.fullmatch(r"part-\d{5,9}\.parquet", record.name) for record in self.files)

    @property
    def content(self) -> str:
        """Digest of all that the artifact holds."""
        return digest({record.name: record.sha256 for record in self.files})


class OldFormat(InputError):
    """An artifact of an earlier rmlab, which has to be made again."""


def write_manifest(folder: Path, manifest: Manifest, names: Sequence[str] = (COPY, MANIFEST)) -> None:
    """Writes the manifest after a copy of it, which replaces it if it is ever damaged."""
    text = json_text(sealed(manifest.to_json()))
    for name in names:
        write_text(folder / name, text)


def read_manifest(folder: Path, name: str = MANIFEST, checked: bool = True) -> Manifest:
    """Reads a manifest; InputError if it is not byte for byte what was written, OSError if it is withheld.

    checked: False for a look at many manifests that decides nothing, and then takes a fraction of the time.
    """
    try:
        text = (folder / name).read_bytes().decode("utf-8")
        if not checked:
            return _parsed(text)
        found = parse_json(text).get("format") if text.startswith("{") else None
        if found == 1:
            raise OldFormat(f"{folder} was made by an earlier rmlab, and is made again by the same command")
        if found != FORMAT:
            raise ValueError(f"expected format {FORMAT}")
        unsealed(text)
        return _parsed(text)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and is_withheld(error):
            raise
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
    """Reads a manifest from text; ValueError for wrong types and for names that lead out of its folder."""
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
    """ValueError unless the path is ../../stage/folder: artifacts lie beside each other."""
    if not path.startswith("../../"):
        raise ValueError(f"impossible place of an input {path[:50]!r}")
    _check_name(path.removeprefix("../../"))
