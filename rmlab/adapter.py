"""A folder with an adapter (peft's LoRA) in place of a model, and the base model that it changes."""

from __future__ import annotations

import json
from pathlib import Path

from rmlab import carried
from rmlab.errors import InputError
from rmlab.home import home_path
from rmlab.snapshots import check_snapshot

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
BASE_RECORD = "base_model.json"  # the base's name as rmlab knows it


def is_adapter(folder: Path) -> bool:
    return (folder / ADAPTER_CONFIG).is_file()


def base_folder(folder: Path) -> Path:
    """The base of an adapter: the folder that it names, else a carried model, else a hub id in the cache."""
    try:
        config = json.loads((folder / ADAPTER_CONFIG).read_text())
        record = folder / BASE_RECORD
        name = str(json.loads(record.read_text())["name"]) if record.is_file() else ""
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{folder}: its {ADAPTER_CONFIG} or {BASE_RECORD} cannot be read; save it again"
        ) from None
    place = str(config.get("base_model_name_or_path") or "")
    if place and home_path(place).is_dir():
        return home_path(place)
    for known in (name, place):
        if carried.is_carried(known):
            return carried.folder(known)
    return _cached(folder, place, config.get("revision"))


def _cached(folder: Path, place: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        found = Path(snapshot_download(place, revision=revision, local_files_only=True))
    except Exception:
        raise InputError(
            f"{folder}: its base model {place or '(none named)'} is not there; put it back, or write where "
            f"it is as base_model_name_or_path in {ADAPTER_CONFIG}"
        ) from None
    return check_snapshot(found, place)
