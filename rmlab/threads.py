"""How many threads arithmetic uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def torch_threads_kept() -> Iterator[None]:
    """Whatever is set meanwhile is as before afterwards."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_thread() -> Iterator[None]:
    """As in a worker process."""
    import torch
    from threadpoolctl import threadpool_limits

    with torch_threads_kept(), threadpool_limits(1):
        torch.set_num_threads(1)
        yield
