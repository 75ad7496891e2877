"""Which texts are read together: those of like length, up to so many tokens, with little padding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rmlab.text import Encoded


@dataclass(frozen=True)
class Batch:
    """rows: their numbers; shared: prompts are read apart, each once."""

    rows: list[int]
    shared: bool


def batches(rows: Sequence[Encoded], tokens: int, causal: bool) -> Iterator[Batch]:
    """Every row once. Causal models share the prompts that several rows have."""
    uses = Counter(tuple(r.prompt) for r in rows)
    shared = [causal and len(r.prompt) > 1 and uses[tuple(r.prompt)] > 1 for r in rows]
    alone = sorted((i for i, s in enumerate(shared) if not s), key=lambda i: _length(rows[i]))
    for part in _filled(alone, tokens, lambda batch: _whole_tokens([rows[i] for i in batch])):
        yield Batch(part, shared=False)
    together = sorted(
        (i for i, s in enumerate(shared) if s),
        key=lambda i: (len(rows[i].prompt), rows[i].prompt, len(rows[i].response)),
    )
    for part in _filled(together, tokens, lambda batch: _shared_tokens([rows[i] for i in batch])):
        yield Batch(part, shared=True)


def _length(row: Encoded) -> int:
    return len(row.prompt) + len(row.response)


def _whole_tokens(rows: list[Encoded]) -> int:
    return len(rows) * max(map(_length, rows))


def _shared_tokens(rows: list[Encoded]) -> int:
    prompts = {tuple(r.prompt) for r in rows}
    return len(rows) * (1 + max(len(r.response) for r in rows)) + len(prompts) * max(map(len, prompts))


def _filled(order: list[int], tokens: int, cost: Callable[[list[int]], int]) -> Iterator[list[int]]:
    """The order cut into runs of as many as the tokens allow, at least one."""
    while order:
        size = _most(order, tokens, cost)
        yield order[:size]
        order = order[size:]


def _most(order: list[int], tokens: int, cost: Callable[[list[int]], int]) -> int:
    """How many of the first fit, where more never cost less; 1 if not even one does."""
    n, step = 1, 1
    while n + step <= len(order) and cost(order[: n + step]) <= tokens:
        n, step = n + step, 2 * step
    while step:
        if n + step <= len(order) and cost(order[: n + step]) <= tokens:
            n += step
        step //= 2
    return n
