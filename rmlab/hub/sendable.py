"""What would be sent of a head, an exported classifier or an embedding set: its files, and its card."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

from rmlab.errors import ConfigError, InputError
from rmlab.hub.card import base_name, head_card, is_of_hub
from rmlab.hub.contents import (
    CARD,
    CLASSIFIER,
    EXPORT_RECORD,
    HEAD,
    SET,
    Kind,
    check_contents,
    files_in,
    kind_of,
)
from rmlab.hub.measured import metrics_of
from rmlab.paths import without_folders
from rmlab.reward.folder import RECORD, write_folder
from rmlab.reward.model import RewardModel
from rmlab.storage.digest import file_digest, read_sealed, sealed, unsealed, write_sealed
from rmlab.storage.files import json_text, parse_json, read_plain_text, write_json, write_text
from rmlab.storage.integrity import FOLDER_SEAL
from rmlab.storage.manifest import MANIFEST

LICENCE = "give the licence of the head with --license, such as --license apache-2.0"


@dataclass(frozen=True)
class Sendable:
    """The files that would be sent, each by its name in the repository."""

    kind: Kind
    files: dict[str, Path]

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self.files.values())


@contextmanager
def sendable(folder: Path, repo: str, licence: str | None) -> Iterator[Sendable]:
    """Prepares a folder for a hub: it is checked, gets a card, and loses the paths of this machine.

    The folder itself stays as it is; what differs from it lies in a temporary one, as long as this context
    is open.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give artifacts/fit_rm/NAME, a saved head or a set")
    with TemporaryDirectory(prefix="rmlab-push-") as temporary:
        yield _prepared(folder, Path(temporary), repo, licence)


def _prepared(folder: Path, work: Path, repo: str, licence: str | None) -> Sendable:
    if (folder / MANIFEST).is_file():
        return _of_fit(folder, work, repo, licence)
    names = files_in(folder)
    kind = kind_of(names, str(folder))
    kind.check_names(names, str(folder))
    check_contents(kind, folder)
    files = {name: folder / name for name in names}
    if kind is HEAD:
        return Sendable(kind, files | _public_head(folder, work, repo, licence, folder))
    if licence is not None:
        raise ConfigError(f"--license: the {kind.word} in {folder} says its licence itself; leave it out")
    if CARD not in files:
        raise InputError(f"{folder} has no {CARD}, the card; write it again with rmlab export")
    if kind is CLASSIFIER:
        return Sendable(kind, files | _public_export(folder, work))
    assert kind is SET
    return Sendable(kind, files)


def _of_fit(fit: Path, work: Path, repo: str, licence: str | None) -> Sendable:
    """The head of an artifact, saved as `RewardModel.save` does."""
    model = RewardModel.from_artifact(fit)
    saved = work / "saved"
    write_folder(saved, model.head, model.origin, model.facts)
    files = {name: saved / name for name in files_in(saved)}
    return Sendable(HEAD, files | _public_head(saved, work, repo, licence, fit))


def _public_head(folder: Path, work: Path, repo: str, licence: str | None, source: Path) -> dict[str, Path]:
    """The record without paths, and the card unless there is one. source: where the head came from."""
    record = unsealed(read_plain_text(folder / RECORD))
    record |= {"origin": _public_origin(record["origin"]), "facts": without_folders(record["facts"])}
    write_text(work / RECORD, json_text(sealed(record)))
    has_card = (folder / CARD).is_file()
    if has_card and licence is None:
        return {RECORD: work / RECORD}
    if licence is None:
        raise ConfigError(LICENCE)
    model = RewardModel.load(folder)
    use = use_lines(repo, model)
    card = head_card(
        model.facts, model.origin, model.head, repo, licence, use=use, metrics=metrics_of(source)
    )
    write_text(work / CARD, card)
    return {RECORD: work / RECORD, CARD: work / CARD}


def use_lines(repo: str, model: RewardModel) -> str:
    """The lines that fetch a head and score a text with it."""
    origin = model.origin
    needs_place = bool(origin.model) and not is_of_hub(origin) and PurePath(origin.model).name != origin.model
    place = f', base_model="{base_name(origin)}"' if needs_place else ""
    return f"""# rmlab pull {repo} my-reward-model
from rmlab import RewardModel

model = RewardModel.load("my-reward-model"{place})
print(model.score(["How are you?"], ["I am well, thank you."]))"""


def _public_export(folder: Path, work: Path) -> dict[str, Path]:
    """The record of an export without paths, and the seal that fits it."""
    if not (folder / EXPORT_RECORD).is_file():
        return {}
    record = parse_json(read_plain_text(folder / EXPORT_RECORD))
    write_json(work / EXPORT_RECORD, without_folders(record))
    changed = {EXPORT_RECORD: work / EXPORT_RECORD}
    digests = read_sealed(folder / FOLDER_SEAL)
    if isinstance(digests, dict):
        write_sealed(work / FOLDER_SEAL, digests | {EXPORT_RECORD: file_digest(work / EXPORT_RECORD)})
        changed[FOLDER_SEAL] = work / FOLDER_SEAL
    return changed


def _public_origin(origin: dict[str, Any]) -> dict[str, Any]:
    """The origin with its model by the last part of its path. ./NAME is never taken for the name of a hub's
    model, so that whoever loads the head is told to say where the model lies."""
    model = str(origin["model"])
    public = f"./{PurePath(model).name}" if model.startswith(("/", "~", ".")) else model
    embedder = dict(origin["embedder"])
    if embedder.get("model") == model:
        embedder["model"] = public
    return {**origin, "model": public, "embedder": embedder}
