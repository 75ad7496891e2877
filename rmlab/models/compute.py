"""The device and precision of models, and their loading, from safetensors only."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmlab.errors import InputError
from rmlab.models.weights import ADAPTER_WEIGHTS, base_folder, is_adapter

_UNUSED = ("pooler.",)  # an encoder's pooler, which no stage uses


def available_cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Compute:
    """The settings with which models are loaded."""

    dtype: str = "float32"
    device: str = "auto"
    trust_remote_code: bool = False
    revision: str | None = None  # of the experiment's model

    def torch_device(self) -> Any:
        """Returns the device; auto is the GPU if there is one."""
        import torch

        if self.device != "auto":
            return torch.device(self.device)
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def load_tokenizer(self, folder: Path) -> Any:
        """Loads the tokenizer, with any pad token if it has none, since padding is always masked."""
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=self.trust_remote_code)
        except Exception as error:
            raise InputError(f"{folder}: cannot load its tokenizer ({_first_line(error)})") from None
        if tokenizer.pad_token_id is None:
            substitute = tokenizer.eos_token or tokenizer.unk_token or tokenizer.bos_token
            if substitute is None:
                raise InputError(f"{folder}: the tokenizer has no pad, end or unknown token; set pad_token")
            tokenizer.pad_token = substitute
        return tokenizer

    def load_model(self, auto_class: Any, folder: Path) -> Any:
        """Loads the model of a folder, ready to use; for an adapter, its base with the adapter merged in."""
        from safetensors import SafetensorError
        from transformers.utils import logging

        logging.disable_progress_bar()
        try:
            return self._load(auto_class, folder).to(self.torch_device()).train(False)
        except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
            raise InputError(f"{folder}: cannot load the model ({_first_line(error)})") from None

    def _load(self, auto_class: Any, folder: Path) -> Any:
        return (self._adapted if is_adapter(folder) else self._whole)(auto_class, folder)

    def _whole(self, auto_class: Any, folder: Path) -> Any:
        import torch

        model, found = auto_class.from_pretrained(
            folder,
            dtype=getattr(torch, self.dtype),
            use_safetensors=True,
            trust_remote_code=self.trust_remote_code,
            output_loading_info=True,
        )
        _refuse_random_weights(folder, found["missing_keys"])
        return model

    def _adapted(self, auto_class: Any, folder: Path) -> Any:
        """Loads the base of an adapter of a language model and merges the adapter, for full speed."""
        from transformers import AutoModel, AutoModelForCausalLM

        if auto_class not in (AutoModel, AutoModelForCausalLM):
            raise InputError(f"{folder}: the adapter is not of such a model; save a whole model instead")
        if not (folder / ADAPTER_WEIGHTS).is_file():
            raise InputError(f"{folder}: no {ADAPTER_WEIGHTS}; an adapter is loaded from safetensors only")
        try:
            from peft import PeftModel
        except ImportError as error:
            raise InputError(
                f'{folder}: an adapter needs peft ({error}); run: pip install "rmlab[train]"'
            ) from None
        base = self._load(
            AutoModelForCausalLM, base_folder(folder)
        )  # which may be the base of another adapter
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            merged = PeftModel.from_pretrained(base, folder).merge_and_unload()
        if any("missing adapter keys" in str(w.message) for w in said):
            raise InputError(f"{folder}: the adapter's weights lack some of its tensors; fetch it again")
        return merged if auto_class is AutoModelForCausalLM else merged.base_model


def _refuse_random_weights(folder: Path, missing: Iterable[str]) -> None:
    """Raises InputError if weights are missing, which transformers would fill with random values."""
    lacking = sorted(name for name in missing if not name.startswith(_UNUSED))
    if lacking:
        raise InputError(
            f"{folder}: the weights lack {len(lacking)} of the model's tensors, such as {lacking[0]}, "
            "which would be random: use a model of the right kind, or fetch it again"
        )


def _first_line(error: Exception) -> str:
    """Returns the first line of an error, cut if long."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
