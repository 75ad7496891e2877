"""Reads reward models from the artifacts of fits, and writes and reads folders that hold one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rmlab.errors import InputError
from rmlab.heads.base import RewardHead
from rmlab.heads.fitted.load import load_head
from rmlab.heads.fitted.storage import DESCRIPTION, HEAD, read_description
from rmlab.reward.origin import Origin
from rmlab.storage.artifact import Artifact, finished, is_unfinished, open_artifact, upstream
from rmlab.storage.digest import digest, sealed, unsealed
from rmlab.storage.files import json_text, parse_json, read_plain_text, write_text
from rmlab.storage.manifest import WORK, Manifest
from rmlab.storage.staged_folder import only_writer, staged_folder

FORMAT = 1
RECORD = "reward_model.json"


def read_artifact(path: Path) -> tuple[RewardHead, Origin, dict[str, Any]]:
    """The head of a fit, the origin of its embeddings, and the facts of the fit."""
    if path.is_dir() and (path / DESCRIPTION).is_file():
        raise InputError(
            f"{path} is a head without a record of what it reads; give the artifact that it lies in, "
            "artifacts/fit_rm/NAME, or a folder that RewardModel.save wrote"
        )
    if path.is_dir() and is_unfinished(path) and not (path / WORK).exists():
        why = f"its {RECORD} is missing" if (path / HEAD).exists() else f"it has no {RECORD}"
        raise InputError(
            f"{path} holds no reward model ({why}); give artifacts/fit_rm/NAME, or a folder that "
            "RewardModel.save wrote"
        )
    fit = open_artifact(path)
    if fit.manifest.stage != "fit_rm":
        raise InputError(
            f"{path} is of the stage {fit.manifest.stage}, which has no head; give one of fit_rm"
        )
    return load_head(path), Origin.of(_embeddings(fit)), _facts(fit.manifest)


def _embeddings(fit: Artifact) -> Artifact:
    record = next(record for record in fit.manifest.inputs if record.role == "embed")
    place = upstream(fit.path, record)
    if not place.is_dir():
        raise InputError(
            f"{fit.path}: the embeddings that it was fitted on are not beside it ({place}); put that "
            "folder back, or carry the head elsewhere with `RewardModel.save`"
        )
    return Artifact(place, finished(place))


def _facts(manifest: Manifest) -> dict[str, Any]:
    """The settings of a fit, its data and its metrics."""
    has_held_out = bool(manifest.counts.get("validation_comparisons"))
    return {
        "name": manifest.name,
        "fingerprint": manifest.fingerprint,
        "settings": manifest.config,
        "data": {r.role: {"name": r.name, "fingerprint": r.fingerprint} for r in manifest.inputs},
        "counts": manifest.counts,
        "metrics": manifest.metrics,
        "warnings": manifest.warnings,
        "temperature": float(manifest.metrics["temperature"]) if has_held_out else None,
        "created": manifest.created,
        "versions": manifest.versions,
    }


def write_folder(folder: Path, head: RewardHead, origin: Origin, facts: dict[str, Any]) -> None:
    """Writes a head with its record into a folder that appears whole or not at all."""
    with new_folder(folder) as made:
        write_into(made, head, origin, facts)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yields an empty folder that becomes `folder`, which may not exist, whole or not at all."""
    try:
        with only_writer(folder) as target:
            if target.exists() or target.is_symlink():
                raise InputError(f"{folder} exists already; name a new folder")
            with staged_folder(target) as made:
                yield made
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror or error}); name another") from None


def write_into(made: Path, head: RewardHead, origin: Origin, facts: dict[str, Any], copy: str = "") -> None:
    """Writes a head and its record. copy: the identity of a copy of its embedding model in the folder."""
    head.save(made / HEAD)
    record = {
        "format": FORMAT,
        "head": digest(read_description(made / HEAD)),
        "origin": origin.to_json(),
        "facts": facts,
    }
    write_text(made / RECORD, json_text(sealed(record | ({"copy": copy} if copy else {}))))


def is_saved(folder: Path) -> bool:
    return (folder / RECORD).is_file()


def read_folder(folder: Path) -> tuple[RewardHead, Origin, dict[str, Any], str]:
    """Reads what `write_into` wrote; InputError where a file of it has changed."""
    try:
        text = read_plain_text(folder / RECORD)
        if parse_json(text).get("format") != FORMAT:
            raise ValueError(f"expected format {FORMAT}")
        record = unsealed(text)
        origin = Origin.from_json(record["origin"])
        facts, copy = dict(record["facts"]), str(record.get("copy", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{folder / RECORD} cannot be read ({why}); save the reward model again") from None
    if digest(read_description(folder / HEAD)) != record["head"]:
        raise InputError(f"{folder / HEAD} is not the head that was saved with {RECORD}; save it again")
    head = load_head(folder / HEAD)
    if head.d != origin.d:
        raise InputError(f"{folder}: its head is of width {head.d}, its record of {origin.d}; save it again")
    return head, origin, facts, copy
