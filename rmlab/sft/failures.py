"""Errors of training told apart: too little memory, or a full disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager


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


_TORCH = ("PytorchStreamWriter", "inline_container.cc")  # torch.save, which does not say why it failed


@contextmanager
def as_os_error() -> Iterator[None]:
    """What is raised within and tells of the disk is raised as the OSError that it stands for."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        said = str(error)
        if "no space left" in said.lower():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        if any(word in said for word in _TORCH):
            raise OSError(errno.EIO, "a checkpoint could not be written") from error
        raise
