"""Finds models: bundled ones, folders, adapters, and snapshots of the Hugging Face hub."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmlab.config.optional_packages import require
from rmlab.errors import InputError
from rmlab.models.bundled import catalogue
from rmlab.paths import home_path
from rmlab.storage.digest import digest
from rmlab.storage.files import parse_json, read_plain_text
from rmlab.storage.integrity import file_digest_of, folder_digest_of

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
BASE_RECORD = "base_model.json"  # holds the base's name as rmlab knows it
_HUB_LINE = "check the name and the network, log in with `hf auth login`, or give a local folder"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Model:
    """A model by name. identity: of its contents; equal identities mean equal weights and tokenizers."""

    name: str
    identity: str
    revision: str | None = None
    trust_remote_code: bool = False

    @property
    def is_bundled(self) -> bool:
        return catalogue.is_bundled(self.name)

    def folder_here(self) -> Path | None:
        """Returns the folder of a local or a fetched model; None for one that was not fetched."""
        if _is_folder(self.name):
            return home_path(self.name)
        try:
            return _snapshot(self.name, self.identity.rpartition("@")[2], local_only=True)
        except InputError:
            return None

    def folder(self) -> Path:
        """Returns the local folder; converts a bundled model or downloads a hub model at first use."""
        if catalogue.is_bundled(self.name):
            return catalogue.folder(self.name)
        if _is_folder(self.name):
            return home_path(self.name)
        commit = self.identity.rpartition("@")[2]  # the one that find_model saw
        return check_snapshot(_snapshot(self.name, commit), self.name)


def find_model(name: str, revision: str | None = None, trust_remote_code: bool = False) -> Model:
    """Identifies a model without loading or downloading it; raises InputError when there is none."""
    if catalogue.is_bundled(name):
        return Model(name, catalogue.identity(name))
    if _is_folder(name):
        folder = home_path(name)
        _check_folder(folder)
        return Model(name, f"folder:{_folder_identity(folder)}", trust_remote_code=trust_remote_code)
    if name.startswith((".", "/", "~")):
        raise InputError(f"model={name}: no such folder")
    return Model(name, f"hub:{name}@{_commit(name, revision)}", revision, trust_remote_code)


def check_available(name: str) -> None:
    """Raises InputError where a package is missing that a model comes with or is loaded by."""
    if catalogue.is_bundled(name):
        catalogue.check(name)
    elif _is_folder(name) and is_adapter(home_path(name)):
        require(f"{name}: an adapter", "peft")


def width_of(name: str) -> int | None:
    """Returns the width of a model's hidden states; None where that is not known without loading or fetching
    it."""
    widths = widths_of(name)
    return widths[0] if widths else None


def widths_of(name: str) -> tuple[int, int] | None:
    """Returns the widths of a model's hidden states and of its inner layers, as `width_of`; inner layers are
    usually four times as wide where the configuration does not say."""
    if catalogue.is_bundled(name):
        return catalogue.widths(name)
    try:
        config = parse_json(read_plain_text(home_path(name) / "config.json"))
        hidden, inner = (config.get(key) for key in ("hidden_size", "intermediate_size"))
    except (OSError, ValueError, AttributeError, InputError):
        return None
    if not _is_width(hidden):
        return None
    return hidden, inner if _is_width(inner) else 4 * hidden


def _is_width(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def is_adapter(folder: Path) -> bool:
    """Returns whether the folder holds an adapter rather than a whole model."""
    return (folder / ADAPTER_CONFIG).is_file()


def base_folder(folder: Path) -> Path:
    """Returns the base of an adapter: the folder it names, a bundled model, or a hub id in the cache."""
    try:
        config = parse_json(read_plain_text(folder / ADAPTER_CONFIG))
        place = str(config.get("base_model_name_or_path") or "")
        record = folder / BASE_RECORD
        name = str(parse_json(read_plain_text(record))["name"]) if record.is_file() else ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"{folder}: its {ADAPTER_CONFIG} or {BASE_RECORD} cannot be read; save it again"
        ) from None
    if place and home_path(place).is_dir():
        return home_path(place)
    for known in (name, place):
        if catalogue.is_bundled(known):
            return catalogue.folder(known)
    return _cached(folder, place, config.get("revision"))


def _cached(folder: Path, place: str, revision: str | None) -> Path:
    """Returns the base of an adapter from the local cache of the hub."""
    from huggingface_hub import snapshot_download

    try:
        found = Path(snapshot_download(place, revision=revision, local_files_only=True))
    except Exception:
        raise InputError(
            f"{folder}: its base model {place or '(none named)'} is not there; put it back, or write where "
            f"it is as base_model_name_or_path in {ADAPTER_CONFIG}"
        ) from None
    return check_snapshot(found, place)


def _folder_identity(folder: Path) -> str:
    """Returns the digest of the folder, with that of the base if it holds an adapter."""
    own = folder_digest_of(folder)
    return digest([own, folder_digest_of(base_folder(folder))]) if is_adapter(folder) else own


def _is_folder(name: str) -> bool:
    return home_path(name).is_dir()


def _check_folder(folder: Path) -> None:
    """Raises InputError unless the folder has a configuration and a tokenizer."""
    if not (folder / "config.json").is_file():
        raise InputError(f"model={folder}: no config.json; a model folder is what save_pretrained writes")
    if not any(
        (folder / n).is_file() for n in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")
    ):
        raise InputError(
            f"model={folder}: no tokenizer; save one there with AutoTokenizer.from_pretrained(...)"
            ".save_pretrained(folder)"
        )


def _commit(name: str, revision: str | None) -> str:
    """Returns the commit of a hub model, from the local cache or else from the hub."""
    try:
        return _snapshot(name, revision, local_only=True).name
    except InputError:
        pass
    if os.environ.get("HF_HUB_OFFLINE"):
        raise InputError(f"model={name} is not in the local cache and HF_HUB_OFFLINE is set; {_HUB_LINE}")
    try:
        from huggingface_hub import HfApi

        sha = HfApi().model_info(name, revision=revision, timeout=10).sha
    except Exception as error:
        raise InputError(f"model={name} cannot be reached ({_short(error)}); {_HUB_LINE}") from None
    return str(sha)


def _snapshot(name: str, revision: str | None, local_only: bool = False) -> Path:
    """Returns the folder of a snapshot, downloading it unless local_only."""
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py"]
    try:
        return Path(
            snapshot_download(name, revision=revision, local_files_only=local_only, allow_patterns=patterns)
        )
    except Exception as error:
        raise InputError(f"model={name} cannot be fetched ({_short(error)}); {_HUB_LINE}") from None


def _short(error: Exception) -> str:
    """Returns the type and the first line of an error."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__


def check_snapshot(folder: Path, name: str) -> Path:
    """Returns the folder of a snapshot; raises InputError if weights differ from those that were fetched.

    A snapshot links to blobs, and the blob of a large file is named by its sha256. Files that are no such
    links have no checksum and are not checked.
    """
    for link in sorted(folder.rglob("*.safetensors")):
        blob = link.resolve()
        if _SHA256.fullmatch(blob.name) and (not blob.is_file() or file_digest_of(blob) != blob.name):
            raise InputError(
                f"{link}: its contents differ from the checksum it was fetched with; fetch it again: "
                f"hf download {name} --revision {folder.name} --force-download"
            )
    return folder
