"""Measures how fast this machine multiplies matrices of a model's shapes, in float32 and in bfloat16.

bfloat16 products are several times as fast as float32 ones on some processors, and several times slower on
others. A measurement holds for a machine, a version of torch and the shapes of a model's layers, and is kept
in the cache.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from rmlab.models.machine_notes import MachineNotes, is_positive

PRECISIONS = ("float32", "bfloat16")
_ROWS = (64, 512)  # a step of decoding, and a batch of texts that are read
LARGE = (1024, 4096)  # the widths of a model beyond which its products have no other rates
_COPIED = 2**27  # bytes, more than caches hold
_CLEAR, _LONG = 4.0, 0.2  # times as slow, and seconds of a turn, from which one turn is enough
_TURNS, _LEAST = 7, 0.004  # turns of each product, and seconds that a turn takes at least


@dataclass(frozen=True)
class Rates:
    """Products of a model's shapes in GFLOP/s, by precision: the geometric mean over few and many rows."""

    float32: float
    bfloat16: float

    @property
    def gain(self) -> float:
        return self.bfloat16 / self.float32


def rates(hidden: int, inner: int) -> Rates:
    """Returns the rates of products of these shapes, from the cache if they were measured before.

    hidden: the width of a model's states; inner: that of the layers between them. For a larger model than
    LARGE its products are measured, as larger ones would take long.
    """
    hidden, inner = min(hidden, LARGE[0]), min(inner, LARGE[1])
    notes, key = MachineNotes.here(), f"{hidden}x{inner}"
    known = notes.get("products", key)
    if isinstance(known, dict) and all(is_positive(known.get(p)) for p in PRECISIONS):
        return Rates(known["float32"], known["bfloat16"])
    measured = measure(hidden, inner)
    notes.put("products", key, {p: float(f"{getattr(measured, p):.4g}") for p in PRECISIONS})
    return measured


def known_rates() -> dict[str, Rates]:
    """Returns all rates that were measured on this machine, by shape, such as 576x1536."""
    known = MachineNotes.here().all("products")
    return {
        shape: Rates(found["float32"], found["bfloat16"])
        for shape, found in sorted(known.items())
        if isinstance(found, dict) and all(is_positive(found.get(p)) for p in PRECISIONS)
    }


def measure(hidden: int, inner: int) -> Rates:
    """Measures the products of a step of decoding and of a batch of texts."""
    found = [measure_rows(hidden, inner, rows) for rows in _ROWS]
    logs = {p: sum(math.log(getattr(each, p)) for each in found) / len(found) for p in PRECISIONS}
    return Rates(math.exp(logs["float32"]), math.exp(logs["bfloat16"]))


def measure_rows(hidden: int, inner: int, rows: int) -> Rates:
    """Measures x Wᵀ for the weights of one layer; both precisions take turns, and the fastest turn counts.

    Where another program, or a limit on the processor's time, interrupts some turns, others remain.
    """
    import torch

    shapes = ((hidden, hidden), (inner, hidden), (hidden, inner))
    operations = sum(2 * rows * o * i for o, i in shapes)
    with torch.inference_mode():
        works = {p: _products(shapes, rows, getattr(torch, p)) for p in PRECISIONS}
        found = {p: operations / seconds / 1e9 for p, seconds in _fastest(works).items()}
    return Rates(found["float32"], found["bfloat16"])


def memory_rate() -> float:
    """Measures how fast memory is read and written by a copy, in GB/s."""
    import torch

    source = torch.ones(_COPIED // 4)
    target = torch.empty_like(source)
    return 2 * _COPIED / _fastest({"copy": lambda: target.copy_(source)})["copy"] / 1e9


def _products(shapes: tuple[tuple[int, int], ...], rows: int, dtype: Any) -> Callable[[], None]:
    import torch

    pairs = [(torch.ones(rows, i, dtype=dtype), torch.ones(o, i, dtype=dtype)) for o, i in shapes]

    def work() -> None:
        for x, weight in pairs:
            torch.nn.functional.linear(x, weight)

    return work


def _fastest(works: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Returns the seconds of each work's fastest turn; a turn repeats short works.

    Turns are left out only where one work is far slower and its turns would be long: the first runs of a
    process, or of a busy machine, may be slow by themselves.
    """
    once = {name: min(_seconds(work, 1) for _ in range(3)) for name, work in works.items()}
    turns = {
        name: partial(_seconds, work, max(1, round(_LEAST / once[name]))) for name, work in works.items()
    }
    best = once
    if max(once.values()) > max(_LONG, _CLEAR * min(once.values())):
        return best
    for _ in range(_TURNS):
        best = {name: min(best[name], turn()) for name, turn in turns.items()}
    return best


def _seconds(work: Callable[[], Any], repeats: int) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        work()
    return max((time.perf_counter() - started) / repeats, 1e-9)
