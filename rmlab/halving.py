"""Batches that do not fit into memory are halved, and the size that fits is kept for what comes after."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rmlab.errors import RmlabError

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
