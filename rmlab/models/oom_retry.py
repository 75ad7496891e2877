"""Batches that fit: sized by free memory, and halved when a device runs out of it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from rmlab.errors import InputError, RmlabError

T = TypeVar("T")
R = TypeVar("R")
# what torch and the libraries under it say where they cannot have more, besides torch.OutOfMemoryError
_SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass
class Halving:
    """size: items a batch; it only falls. hint: what helps where a single item does not fit.

    The same items come out in the same order whatever was halved; in float32 results differ by rounding.
    """

    size: int
    hint: str
    say: Callable[[str], None] = _to_stderr

    def batches(self, items: Sequence[T], run: Callable[[list[T]], R]) -> Iterator[tuple[list[T], R]]:
        """(batch, run(batch)) for one batch of items after another."""
        start = 0
        while start < len(items):
            batch = list(items[start : start + self.size])
            try:
                result = run(batch)
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
            else:
                yield batch, result
                start += len(batch)
                continue
            # only out here: until the error is gone, its frames hold the tensors that filled the memory
            self._halve(len(batch))

    def _halve(self, n: int) -> None:
        _free()
        if n == 1:
            raise RmlabError(
                f"out of memory with a single text; {self.hint}, use a smaller model, or dtype=bfloat16"
            )
        self.size = n // 2
        self.say(f"out of memory with a batch of {n}: goes on with {self.size}")


def _is_out_of_memory(error: BaseException) -> bool:
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return any(sign in text for sign in _SIGNS)


def _free() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


_CPU_GIB = 2.0
_GPU_SHARE = 0.4  # of the device's memory; weights, logits and activations take the rest
_GIB = 2**30


def rows_that_fit(model: Any, tokens: int, gib: float | None) -> int:
    """Rows of so many tokens whose keys, values and logits fill the budget; at least one."""
    budget = (gib or _default_gib(model.device)) * _GIB
    return max(1, int(budget / (tokens * _cache_bytes(model) + _logit_bytes(model.config))))


def _default_gib(device: Any) -> float:
    if device.type != "cuda":
        return _CPU_GIB
    return _GPU_SHARE * torch.cuda.get_device_properties(device).total_memory / _GIB


def _cache_bytes(model: Any) -> int:
    """Of one token's keys and values in all layers."""
    text = model.config.get_text_config(decoder=True)
    if not getattr(text, "num_attention_heads", None):
        raise InputError(
            f"{model.config.model_type} models keep no keys and values; use sampler=vllm for them"
        )
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return 2 * text.num_hidden_layers * heads * width * model.dtype.itemsize


def _logit_bytes(config: Any) -> int:
    """Of one row's logits: as computed, in float32, and in order."""
    return 12 * int(config.get_text_config(decoder=True).vocab_size)
