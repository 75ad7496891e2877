"""dtype=auto: whether a model computes in float32 or in bfloat16 on this machine.

bfloat16 is taken where products of the model's shapes are faster in it and the model's states, on a few
texts, stay close to those in float32. Both are found once and kept in the cache.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from rmlab.errors import RmlabError
from rmlab.models.compute import Compute, has_gpu
from rmlab.models.machine_notes import MachineNotes, is_positive, may_have_gpu
from rmlab.models.product_rates import rates
from rmlab.models.weights import Model, widths_of
from rmlab.terminal import note

GAIN = 1.2  # times as fast as float32 that bfloat16 must be, so that the choice does not hang on noise
NARROW = 256  # width of a model below which the precision of its products hardly counts
FAR = 0.1  # relative distance of states in bfloat16 from those in float32 that is too far
_NO_NUMBERS = 1e9  # stands for states that are not finite
_GENERIC = (1024, 4096)  # the shapes of a model whose configuration is not known
_TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "Question: how do I bake bread at home?\nAnswer: mix flour, water, salt and yeast, and let it rest.",
    "It was the worst film of the year, and 1,200 people saw it twice; nobody could say why.",
    "def add(a, b):\n    return a + b",
)


@lru_cache(maxsize=64)
def resolve(device: str, model: Model) -> str:
    """Returns float32 or bfloat16, whichever suits this machine, device and model.

    A model that was not fetched yet is judged by usual shapes, and its accuracy is looked at when it is here.
    """
    if _uses_gpu(device):
        return "bfloat16" if gpu_has_bfloat16() and is_accurate(model, device) else "float32"
    hidden, inner = widths_of(model.name) or _GENERIC
    if hidden < NARROW or rates(hidden, inner).gain < GAIN:
        return "float32"
    return "bfloat16" if is_accurate(model, "cpu") else "float32"


def _uses_gpu(device: str) -> bool:
    """Tells whether the device is a GPU that is there; torch is asked only where a driver is."""
    return device != "cpu" and may_have_gpu() and has_gpu()


def gpu_has_bfloat16() -> bool:
    """Tells whether the GPU computes in bfloat16 by itself."""
    import torch

    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def is_accurate(model: Model, device: str) -> bool:
    """Tells whether the model's states in bfloat16 are close to those in float32, and says so if not.

    A model that is not here, is too large to be loaded twice or cannot be loaded counts as accurate: the
    stage that needs it tells what is wrong with it. The bundled models were compared when they were chosen.
    """
    if model.is_bundled:
        return True
    found = distance(model, device)
    if found is None or found <= FAR:
        return True
    how = "are not numbers" if found >= _NO_NUMBERS else f"differ from those in float32 by {found:.0%}"
    note(f"{model.name}: its states in bfloat16 {how}, so dtype=auto is float32")
    return False


def distance(model: Model, device: str) -> float | None:
    """Returns how far the model's states in bfloat16 are from those in float32, relative to their size.

    None where that cannot be told; _NO_NUMBERS where some states are not finite.
    """
    folder = model.folder_here()
    if folder is None:
        return None
    notes, key = MachineNotes.here(), f"{model.identity} on {device}"
    known = notes.get("distance", key)
    if is_positive(known):
        return float(known)
    if _is_too_large(folder):
        return None
    note(f"{model.name}: comparing bfloat16 with float32 on a few texts, once, for dtype=auto")
    try:
        expected = _states(folder, Compute("float32", device, model.trust_remote_code))
    except (RmlabError, MemoryError):
        return None
    try:
        found = _far(_states(folder, Compute("bfloat16", device, model.trust_remote_code)), expected)
    except RmlabError:  # some are no numbers
        found = _NO_NUMBERS
    notes.put("distance", key, found)
    return found


def _is_too_large(folder: Path) -> bool:
    """Tells whether the weights in float32 might take more than half of the memory that is free."""
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return 2 * size > os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") / 2


def _states(folder: Path, compute: Compute) -> Any:
    """Returns the model's last states for all tokens of a few texts, [tokens, D] float64."""
    import torch
    from transformers import AutoModel

    with compute.loaded(AutoModel, folder) as (model, tokenizer), torch.inference_mode():
        ids = [tokenizer(text, return_tensors="pt")["input_ids"].to(model.device) for text in _TEXTS]
        return torch.cat([model(input_ids=i).last_hidden_state[0] for i in ids]).double()


def _far(found: Any, expected: Any) -> float:
    """Returns the mean over tokens of the relative distance, at least 1e-9."""
    far = float(((found - expected).norm(dim=1) / expected.norm(dim=1)).mean())
    return max(far, 1e-9) if far < _NO_NUMBERS else _NO_NUMBERS
