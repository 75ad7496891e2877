"""Context managers for the number of threads of numerical libraries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


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
