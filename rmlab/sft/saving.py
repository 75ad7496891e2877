"""A trained policy as a folder that others load: a whole model, or an adapter that names its base."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from rmlab.errors import RmlabError
from rmlab.models.compute import Compute
from rmlab.models.weights import ADAPTER_CONFIG, BASE_RECORD, Model
from rmlab.removal import remove_scratch
from rmlab.sft.task import SftTask
from rmlab.storage.files import write_json


def save_policy(task: SftTask, base: Model, tokenizer: Any, target: Path) -> None:
    """Writes a new folder. What LoRA trained is merged as any reader of it merges it."""
    shutil.copytree(task.trained, target, ignore=shutil.ignore_patterns("README.md"))
    if task.how.method == "lora":
        _name_base(task, base, target)
        if task.how.output == "merged":
            _merge(task, target)
    tokenizer.save_pretrained(target)
    if not (target / "config.json").is_file():
        raise RmlabError(f"{target}: the trained model was not saved")


def _name_base(task: SftTask, base: Model, folder: Path) -> None:
    """Writes the place of the base as peft, vLLM and others read it: a hub id with its commit, else a folder.

    It also writes the name by which rmlab finds the base, for a bundled model whose cache has moved, and
    copies the base's config.json, so that model=... takes the folder.
    """
    file, hub = folder / ADAPTER_CONFIG, base.identity.startswith("hub:")
    place = base.name if hub else str(task.base.resolve())
    revision = base.identity.rpartition("@")[2] if hub else None
    write_json(file, json.loads(file.read_text()) | {"base_model_name_or_path": place, "revision": revision})
    write_json(folder / BASE_RECORD, {"name": base.name, "identity": base.identity})
    shutil.copyfile(task.base / "config.json", folder / "config.json")


def _merge(task: SftTask, folder: Path) -> None:
    """Replaces an adapter by the whole model, on the CPU, in the precision that it is kept in."""
    from transformers import AutoModelForCausalLM

    compute = Compute(task.saved, "cpu", task.trust_remote_code)
    model = compute.load_model(AutoModelForCausalLM, folder)
    remove_scratch(folder)
    model.save_pretrained(folder)
