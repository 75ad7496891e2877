"""A model name -> local weights: a Hugging Face id, a folder, or a model that a package carries."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rmlab import carried
from rmlab.adapter import base_folder, is_adapter
from rmlab.artifacts.fingerprint import digest
from rmlab.digests import folder_digest_of
from rmlab.errors import InputError
from rmlab.home import home_path
from rmlab.snapshots import check_snapshot

_HUB_LINE = "check the name and the network, log in with `hf auth login`, or give a local folder"


@dataclass(frozen=True)
class Model:
    """Where weights and tokenizer are, and what they are: equal identities mean equal contents."""

    name: str
    identity: str
    revision: str | None = None
    trust_remote_code: bool = False

    def folder(self) -> Path:
        """The local folder; converts a carried model or downloads a hub model at first use."""
        if carried.is_carried(self.name):
            return carried.folder(self.name)
        if _is_folder(self.name):
            return home_path(self.name)
        commit = self.identity.rpartition("@")[2]  # the one that was identified
        return check_snapshot(_snapshot(self.name, commit), self.name)


def find_model(name: str, revision: str | None = None, trust_remote_code: bool = False) -> Model:
    """Identifies a model without loading or downloading it; raises InputError when there is none."""
    if carried.is_carried(name):
        return Model(name, carried.identity(name))
    if _is_folder(name):
        folder = home_path(name)
        _check_folder(folder)
        return Model(name, f"folder:{_folder_identity(folder)}", trust_remote_code=trust_remote_code)
    if name.startswith((".", "/", "~")):
        raise InputError(f"model={name}: no such folder")
    return Model(name, f"hub:{name}@{_commit(name, revision)}", revision, trust_remote_code)


def _folder_identity(folder: Path) -> str:
    """Of its contents, and of the base's where the folder holds an adapter."""
    own = folder_digest_of(folder)
    return digest([own, folder_digest_of(base_folder(folder))]) if is_adapter(folder) else own


def _is_folder(name: str) -> bool:
    return home_path(name).is_dir()


def _check_folder(folder: Path) -> None:
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
    """The commit of a hub model: from the local cache when it is there, else asked of the hub."""
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
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "*.py"]
    try:
        return Path(
            snapshot_download(name, revision=revision, local_files_only=local_only, allow_patterns=patterns)
        )
    except Exception as error:
        raise InputError(f"model={name} cannot be fetched ({_short(error)}); {_HUB_LINE}") from None


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__
