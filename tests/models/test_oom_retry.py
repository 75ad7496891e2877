"""Batches halved where memory runs out: nothing lost, the size remembered, one line where one item is too much."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from rmlab.errors import RmlabError
from rmlab.models.oom_retry import AdaptiveBatch


@pytest.fixture(autouse=True)
def _no_sweeps(monkeypatch):
    """A full garbage collection takes a third of a second; what is let go here is in no cycle."""
    monkeypatch.setattr("rmlab.models.oom_retry.gc.collect", lambda: 0)


class Small:
    """Runs what has at most `room` items; a larger batch raises `error`."""

    def __init__(self, room, error=None):
        self.room, self.tried = room, []
        self.error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    def __call__(self, batch):
        self.tried.append(len(batch))
        if len(batch) > self.room:
            raise self.error
        return [x * x for x in batch]


def adaptive(size, said=None):
    return AdaptiveBatch(size, "lower max_tokens", (said if said is not None else []).append)


@pytest.mark.parametrize("room", [1, 2, 3, 7, 16, 64])
@pytest.mark.parametrize("n", [0, 1, 5, 16, 37])
def test_every_item_comes_once_and_in_order(n, room):
    found = list(adaptive(16).batches(range(n), Small(room)))
    assert [x for batch, _ in found for x in batch] == list(range(n))
    assert [y for _, result in found for y in result] == [x * x for x in range(n)]
    assert all(len(batch) <= room for batch, _ in found)


def test_the_smaller_size_is_said_and_kept_for_later_batches():
    said, run = [], Small(room=20)
    sizes = adaptive(64, said)
    list(sizes.batches(range(100), run))
    assert run.tried == [64, 32, *[16] * 6, 4] and sizes.size == 16
    assert said == [
        "out of memory with a batch of 64: goes on with 32",
        "out of memory with a batch of 32: goes on with 16",
    ]
    list(sizes.batches(range(20), run))
    assert run.tried[-2:] == [16, 4] and len(said) == 2


def test_a_short_last_batch_is_halved_from_its_own_length():
    run = Small(room=2)
    sizes = adaptive(64)
    list(sizes.batches(range(6), run))
    assert run.tried == [6, 3, 1, 1, 1, 1, 1, 1] and sizes.size == 1


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError(""),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_every_kind_of_it_is_known(error):
    assert len(list(adaptive(8).batches(range(8), Small(4, error)))) == 2


def test_a_real_refusal_of_the_cpu_s_allocator_is_known():
    def run(batch):
        return torch.empty(2**58 if len(batch) > 1 else 1).sum()

    assert len(list(adaptive(2).batches(range(2), run))) == 2


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("out of memory"), KeyError("x")])
def test_other_errors_are_raised_as_they_are(error):
    with pytest.raises(type(error)) as found:
        list(adaptive(8).batches(range(8), Small(4, error)))
    assert found.value is error


def test_one_item_too_large_is_one_line_with_what_to_do():
    with pytest.raises(RmlabError, match="lower max_tokens, use a smaller model, or dtype=bfloat16") as found:
        list(adaptive(4).batches(range(3), Small(0)))
    assert "\n" not in str(found.value) and found.value.__cause__ is None and found.value.__context__ is None


def test_what_filled_the_memory_is_let_go_before_the_next_try():
    held, alive = [], []

    def run(batch):
        alive.append([ref() is not None for ref in held])
        large = torch.zeros(8)
        held.append(weakref.ref(large))
        if len(batch) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return 0

    gc.disable()
    try:
        list(adaptive(4).batches(range(1, 5), run))
    finally:
        gc.enable()
    assert len(alive) == 6 and not any(any(seen) for seen in alive)


def test_an_error_in_what_uses_the_results_is_not_taken_for_one_of_the_run():
    sizes = adaptive(2)
    batches = sizes.batches(range(4), Small(9))
    next(batches)
    with pytest.raises(MemoryError):
        batches.throw(MemoryError())
    assert sizes.size == 2
