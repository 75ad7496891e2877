"""Batch sizes that fit into memory: estimated from a budget, and halved when memory runs out."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from rmlab.errors import InputError, RmlabError
from rmlab.terminal import note

T = TypeVar("T")
R = TypeVar("R")
_CPU_GIB = 2.0
_GPU_SHARE = 0.4  # of the device's memory; weights, logits and activations take the rest
_GIB = 2**30
# words in the errors of torch and its libraries when memory runs out, besides torch.OutOfMemoryError
_SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


@dataclass
class AdaptiveBatch:
    """Splits items into batches, and halves the size of batches when memory runs out.

    size: the number of items in a batch, which only decreases; hint: what the user can do if a single item
    does not fit. Items stay in order whatever the size; results in float32 differ by rounding.
    """

    size: int
    hint: str
    say: Callable[[str], None] = note

    def batches(self, items: Sequence[T], run: Callable[[list[T]], R]) -> Iterator[tuple[list[T], R]]:
        """Yields (batch, run(batch)) for one batch of items after another."""
        start = 0
        while start < len(items):
            batch = list(items[start : start + self.size])
            try:
                result = run(batch)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            else:
                yield batch, result
                start += len(batch)
                continue
            # not within `except`: there the frames of the error still hold the tensors that filled the memory
            self._halve(len(batch))

    def _halve(self, n: int) -> None:
        """Frees memory and halves the size; raises RmlabError if a batch of one did not fit."""
        free_memory()
        if n == 1:
            raise RmlabError(
                f"out of memory with a single text; {self.hint}, use a smaller model, or dtype=bfloat16"
            )
        self.size = n // 2
        self.say(f"out of memory with a batch of {n}: goes on with {self.size}")


def is_out_of_memory(error: BaseException) -> bool:
    """Tells whether a GPU, Python, or torch on a CPU (which has no class for it) ran out of memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in _SIGNS)


def free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def rows_that_fit(model: Any, tokens: int, gib: float | None) -> int:
    """Returns how many rows of so many tokens have keys, values and logits within the budget; at least 1."""
    budget = (gib or _default_gib(model.device)) * _GIB
    return max(1, int(budget / (tokens * _cache_bytes(model) + _logit_bytes(model.config))))


def _default_gib(device: Any) -> float:
    if device.type != "cuda":
        return _CPU_GIB
    return _GPU_SHARE * torch.cuda.get_device_properties(device).total_memory / _GIB


def _cache_bytes(model: Any) -> int:
    """Returns the bytes of the keys and values of a token in all layers."""
    text = model.config.get_text_config(decoder=True)
    if not getattr(text, "num_attention_heads", None):
        raise InputError(
            f"{model.config.model_type} models keep no keys and values; use sampler=vllm for them"
        )
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return 2 * text.num_hidden_layers * heads * width * model.dtype.itemsize


def _logit_bytes(config: Any) -> int:
    """Returns the bytes of the logits of a row: as computed, in float32, and their probabilities."""
    return 12 * int(config.get_text_config(decoder=True).vocab_size)
