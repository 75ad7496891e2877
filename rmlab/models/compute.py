"""The device, precision and threads of models, and their loading, from safetensors only."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmlab.config.optional_packages import require
from rmlab.errors import ConfigError, InputError
from rmlab.models.folder_check import check_files, check_fit, told_of, try_model, try_tokenizer
from rmlab.models.weights import ADAPTER_WEIGHTS, base_folder, is_adapter

_UNUSED = ("pooler.",)  # an encoder's pooler, which no stage uses


def available_cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> int:
    """Returns the size of this machine's memory; what depends on it is the same in each run."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@contextmanager
def torch_threads_kept() -> Iterator[None]:
    """Restores torch's number of threads at the end."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_thread() -> Iterator[None]:
    """Runs torch and BLAS with one thread, as in a worker process."""
    import torch
    from threadpoolctl import threadpool_limits

    with torch_threads_kept(), threadpool_limits(1):
        torch.set_num_threads(1)
        yield


def has_gpu() -> bool:
    """Tells whether this machine shows a CUDA GPU."""
    import torch

    return bool(torch.cuda.is_available())


def n_gpus() -> int:
    """Returns the number of CUDA GPUs that this machine shows."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def check_device(device: str) -> None:
    """Raises ConfigError for what is no device, and InputError for a GPU that this machine does not show."""
    import torch

    if device == "auto":
        return
    try:
        wanted = torch.device(device)
    except RuntimeError:
        raise ConfigError(f"device={device} is no device; set device to auto, cpu, cuda or cuda:1") from None
    if wanted.type != "cuda":
        return
    n = n_gpus()
    if n == 0:
        raise InputError(
            f"device={device}, but this machine shows no CUDA GPU; set device=auto or device=cpu"
        )
    if (wanted.index or 0) >= n:
        raise InputError(f"device={device}, but this machine shows {n} GPUs; set device=cuda:{n - 1} or less")


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

        check_device(self.device)
        if self.device != "auto":
            return torch.device(self.device)
        return torch.device("cuda" if has_gpu() else "cpu")

    def load_tokenizer(self, folder: Path) -> Any:
        """Loads the tokenizer, with any pad token if it has none, since padding is always masked."""
        from transformers import AutoTokenizer

        with told_of(folder, "its tokenizer"):
            check_files(folder)
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=self.trust_remote_code)
            if tokenizer.pad_token_id is None:
                substitute = tokenizer.eos_token or tokenizer.unk_token or tokenizer.bos_token
                if substitute is None:
                    raise InputError(
                        f"{folder}: the tokenizer has no pad, end or unknown token; set pad_token"
                    )
                tokenizer.pad_token = substitute
            try_tokenizer(tokenizer)
            return tokenizer

    def load_model(self, auto_class: Any, folder: Path) -> Any:
        """Loads the model of a folder, ready to use; for an adapter, its base with the adapter merged in."""
        from transformers.utils import logging

        logging.disable_progress_bar()
        with told_of(folder, "the model"):
            model = self._load(auto_class, folder).to(self.torch_device()).train(False)
            try_model(model)
            return model

    @contextmanager
    def loaded(self, auto_class: Any, folder: Path) -> Iterator[tuple[Any, Any]]:
        """The model and tokenizer of a folder; what whoever uses them within stumbles over is told of the
        folder."""
        tokenizer = self.load_tokenizer(folder)
        model = self.load_model(auto_class, folder)
        with told_of(folder, "the model"):
            check_fit(model, tokenizer)
            yield model, tokenizer

    def _load(self, auto_class: Any, folder: Path) -> Any:
        check_files(folder)
        return (self._adapted if is_adapter(folder) else self._whole)(auto_class, folder)

    def _whole(self, auto_class: Any, folder: Path) -> Any:
        import torch

        try:
            model, found = auto_class.from_pretrained(
                folder,
                dtype=getattr(torch, self.dtype),
                use_safetensors=True,
                trust_remote_code=self.trust_remote_code,
                output_loading_info=True,
            )
        except RuntimeError as error:
            if "mismatched" not in str(error):
                raise
            raise InputError(
                f"{folder}: its weights have other shapes than config.json says; save the model again"
            ) from error
        _refuse_random_weights(folder, found["missing_keys"])
        return model

    def _adapted(self, auto_class: Any, folder: Path) -> Any:
        """Loads the base of an adapter of a language model and merges the adapter, for full speed."""
        from transformers import AutoModel, AutoModelForCausalLM

        if auto_class not in (AutoModel, AutoModelForCausalLM):
            raise InputError(f"{folder}: the adapter is not of such a model; save a whole model instead")
        if not (folder / ADAPTER_WEIGHTS).is_file():
            raise InputError(f"{folder}: no {ADAPTER_WEIGHTS}; an adapter is loaded from safetensors only")
        require(f"{folder}: an adapter", "peft")
        from peft import PeftModel

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
