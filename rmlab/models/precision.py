"""dtype=auto: whether a model computes in float32 or in bfloat16 on this machine.

bfloat16 is taken where products of the model's shapes are faster in it and the model's states, on a few
texts, stay close to those in float32. Both are found once and kept in the cache.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from rmlab.errors import RmlabError
from rmlab.models.compute import Compute, has_gpu, memory_bytes
from rmlab.models.machine_notes import MachineNotes, is_positive, may_have_gpu
from rmlab.models.product_rates import LARGE, PRECISIONS, rates
from rmlab.models.weights import Model, base_folder, is_adapter, widths_of
from rmlab.terminal import note

GAIN = 1.2  # times as fast as float32 that bfloat16 must be, so that the choice does not hang on noise
NARROW = 256  # width of a model below which the precision of its products hardly counts
FAR = 0.1  # relative distance of states in bfloat16 from those in float32 that is too far
_NO_NUMBERS = 1e9  # stands for states that are not finite
_TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "Question: how do I bake bread at home?\nAnswer: mix flour, water, salt and yeast, and let it rest.",
    "It was the worst film of the year, and 1,200 people saw it twice; nobody could say why.",
    "def add(a, b):\n    return a + b",
)


@lru_cache(maxsize=64)
def resolve(device: str, model: Model) -> str:
    """Returns float32 or bfloat16, whichever suits this machine, device and model.

    The answer is kept, so that all commands have the same. A model that was not fetched when it was first
    planned with is judged by usual shapes, and counts as accurate.
    """
    on_gpu = _uses_gpu(device)
    notes, key = MachineNotes.here(), f"{model.identity} on {'a GPU' if on_gpu else 'the CPU'}"
    if (known := notes.get("dtype", key)) in PRECISIONS:
        return str(known)
    found = "bfloat16" if _is_fast(model, on_gpu) and is_accurate(model, device) else "float32"
    notes.put("dtype", key, found)
    return found


def _is_fast(model: Model, on_gpu: bool) -> bool:
    if on_gpu:
        return gpu_has_bfloat16()
    folder = None if model.is_bundled else model.folder_here()
    hidden, inner = widths_of(str(folder or model.name)) or LARGE
    return hidden >= NARROW and rates(hidden, inner).gain >= GAIN


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
    notes, key = MachineNotes.here(), f"{model.identity} on {device}"
    known = notes.get("distance", key)
    if is_positive(known):
        return float(known)
    found = _compared(model, device)
    if found is not None:
        notes.put("distance", key, found)
    return found


def _compared(model: Model, device: str) -> float | None:
    """Loads the model twice for `distance`."""
    float32, bfloat16 = (Compute(p, device, model.trust_remote_code) for p in PRECISIONS)
    folder = model.folder_here()
    try:
        if folder is None or _is_too_large(folder):
            return None
        note(f"{model.name}: comparing bfloat16 with float32 on a few texts, once, for dtype=auto")
        expected = _states(folder, float32)
    except (RmlabError, MemoryError):  # its stage tells what is wrong with it
        return None
    try:
        return _far(_states(folder, bfloat16), expected)
    except RmlabError as error:
        is_the_model = isinstance(error.__cause__, ValueError)  # and not too little memory, say
        return _NO_NUMBERS if is_the_model else None


def _is_too_large(folder: Path) -> bool:
    """Tells whether the weights in float32 might take more than a quarter of the memory."""
    whole = base_folder(folder) if is_adapter(folder) else folder
    return 2 * sum(file.stat().st_size for file in whole.glob("*.safetensors")) > memory_bytes() / 4


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
