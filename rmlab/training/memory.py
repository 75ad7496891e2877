"""Too little memory: told from other errors."""

from __future__ import annotations


class OutOfMemory(Exception):
    """As many demonstrations at once do not fit; fewer may."""


def is_out_of_memory(error: BaseException) -> bool:
    """A GPU's, Python's, or that of torch on a CPU, which has no class of its own."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError | OutOfMemory):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("can't allocate memory", "CUDA out of memory", "out of memory")
    )


def next_smaller(rows_at_once: int) -> int | None:
    """Half as many or, where that does not divide, the next divisor below; None: one is the least."""
    smaller = [n for n in range(1, rows_at_once // 2 + 1) if rows_at_once % n == 0]
    return smaller[-1] if smaller else None
