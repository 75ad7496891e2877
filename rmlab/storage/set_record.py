"""The record of an embedding set, set.json: contents of the folder, their origin and checksums."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from rmlab.errors import InputError
from rmlab.storage.files import parse_json, read_plain_text

RECORD, CARD, LICENSE, PROMPTS_FILE = "set.json", "README.md", "LICENSE", "prompts.parquet"
# No hyphens: they separate the names in those of files.
SetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.]*$", max_length=60)]
SetTitle = Annotated[str, Field(min_length=1, max_length=100)]
Split = Literal["train", "test"]
Count = Annotated[int, Field(ge=0)]


class _RecordPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SetFile(_RecordPart):
    bytes: Count
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    rows: Count


class SetPolicy(_RecordPart):
    """A policy. made_by: settings and sources of prompts, SFT and sampling; lineage: fingerprint by role."""

    name: SetName
    responses: Count
    left_out: Count  # responses that some reward failed on
    made_by: dict[str, Any]
    lineage: dict[str, str]


class SetReward(_RecordPart):
    name: SetName
    made_by: dict[str, Any]


class SetEmbedder(_RecordPart):
    """An embedding model. error: by policy, RMS error of the 8-bit vectors over the RMS of their spread."""

    name: SetName
    dimension: int = Field(ge=1)
    storage: Literal["int8"]
    made_by: dict[str, Any]
    error: dict[str, float]


class SetRecord(_RecordPart):
    format: Literal[1]
    name: SetTitle
    license: SetTitle
    prompts: dict[Split, Count]
    policies: list[SetPolicy] = Field(min_length=1)
    rewards: list[SetReward] = Field(min_length=1)
    embedders: list[SetEmbedder] = Field(min_length=1)
    files: dict[str, SetFile]

    @model_validator(mode="after")
    def _names_differ(self) -> SetRecord:
        """Names must differ also without regard to case, since some file systems ignore it."""
        for kind in ("policies", "rewards", "embedders"):
            names = Counter(part.name.lower() for part in getattr(self, kind))
            for name, n in names.items():
                if n > 1:
                    raise ValueError(f"{n} of the {kind} are called {name}; give each its own name")
        return self

    def to_json(self) -> dict[str, Any]:
        return self.model_dump()


@dataclass(frozen=True)
class EmbeddingSet:
    folder: Path
    record: SetRecord

    def names(self, kind: str) -> list[str]:
        """The names of its policies, rewards or embedders, as `kind` says."""
        return [part.name for part in getattr(self.record, kind)]

    def expected_files(self) -> list[str]:
        """The names of all Parquet files that a set with these policies and embedders has."""
        found = [PROMPTS_FILE]
        for policy in self.names("policies"):
            found += [responses_file(policy), scores_file(policy)]
            for embedder in self.names("embedders"):
                found += [embeddings_file(policy, embedder), scales_file(policy, embedder)]
        return found


def responses_file(policy: str) -> str:
    return f"responses-{policy}.parquet"


def scores_file(policy: str) -> str:
    return f"scores-{policy}.parquet"


def embeddings_file(policy: str, embedder: str) -> str:
    return f"embeddings-{policy}-{embedder}.parquet"


def scales_file(policy: str, embedder: str) -> str:
    return f"scales-{policy}-{embedder}.parquet"


def fits(kind: Any, value: str) -> bool:
    """True if set.json accepts the value as one of this kind, such as SetName."""
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


def open_set(folder: Path) -> EmbeddingSet:
    """Opens a set and checks its set.json alone; `rmlab validate` checks all other files."""
    file = folder / RECORD
    if not folder.is_dir():
        raise InputError(f"{folder} is not an embedding set: no such folder")
    if not file.is_file():
        raise InputError(f"{folder} is not an embedding set: it has no {RECORD}")
    try:
        return EmbeddingSet(folder, SetRecord.model_validate(parse_json(read_plain_text(file))))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "it"
        message = problem["msg"].removeprefix("Value error, ")
        raise InputError(f"{file}: {where}: {message}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read ({' '.join(str(error).split())[:200]})") from None
