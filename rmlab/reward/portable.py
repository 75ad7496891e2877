"""A head of any kind in one folder with the embedding model that it reads, for `RewardModel.load`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from rmlab.errors import InputError
from rmlab.models.compute import Compute
from rmlab.models.folder_check import check_files
from rmlab.models.weights import find_model, is_adapter
from rmlab.reward.folder import write_into
from rmlab.reward.model import MODEL_COPY, RewardModel
from rmlab.storage.integrity import FOLDER_SEAL

_CODE = ".py"
_TAKEN = (".json", ".safetensors", ".model", ".txt", ".jinja", _CODE)


def write_portable(model: RewardModel, folder: Path) -> None:
    """Writes the head, its record and a copy of its embedding model into an empty folder.

    A head whose embedder reads no model has none. Adapters are merged, since they name their base by its
    place; of a folder what is no part of a model, such as weights in another format, stays behind.
    """
    found = model.find_model()
    copy = ""
    if found is not None:
        source = found.folder()
        check_files(source)
        if is_adapter(source):
            _merge(model, source, folder / MODEL_COPY)
        else:
            shutil.copytree(source, folder / MODEL_COPY, ignore=_left_behind(model))
        if not list((folder / MODEL_COPY).rglob("*.safetensors")):
            raise InputError(
                f"{source} has no weights in safetensors; save the model again with save_pretrained"
            )
        copy = find_model(str(folder / MODEL_COPY)).identity
    write_into(folder, model.head, model.origin, model.facts, copy)


def _merge(model: RewardModel, source: Path, target: Path) -> None:
    """Writes a whole model in the precision in which the embedder computes, so that it embeds the same."""
    from transformers import AutoModelForCausalLM

    compute = Compute(model.origin.dtype, "cpu", model.trust_remote_code)
    compute.load_model(AutoModelForCausalLM, source).save_pretrained(target)
    compute.load_tokenizer(source).save_pretrained(target)


def _left_behind(model: RewardModel) -> Callable[[str, list[str]], list[str]]:
    """What copytree leaves out."""
    endings = tuple(e for e in _TAKEN if model.trust_remote_code or e != _CODE)
    nested = model.origin.name == "sentence"  # whose modules have folders of their own

    def ignored(place: str, names: list[str]) -> list[str]:
        taken = {n for n in names if n.endswith(endings) or (nested and (Path(place) / n).is_dir())}
        return [n for n in names if n not in taken or n[0] == "." or n == FOLDER_SEAL]

    return ignored
