"""Which texts are read together: those of like length, up to so many tokens, with little padding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from rmlab.text import Encoded


def divided(rows: Sequence[Encoded], shares: bool) -> tuple[list[int], list[int]]:
    """Numbers of rows to read whole, and of those that share their prompt with another and may."""
    uses = Counter(tuple(r.prompt) for r in rows)
    together = [shares and len(r.prompt) > 1 and uses[tuple(r.prompt)] > 1 for r in rows]
    return [i for i, t in enumerate(together) if not t], [i for i, t in enumerate(together) if t]


def by_length(rows: Sequence[Encoded], numbers: list[int], tokens: int) -> Iterator[list[int]]:
    """Batches of whole texts."""
    return _filled(numbers, lambda i: len(rows[i].prompt) + len(rows[i].response), tokens)


def by_response(rows: Sequence[Encoded], numbers: list[int], tokens: int) -> Iterator[list[int]]:
    """Batches of responses, each after the last token of its prompt."""
    return _filled(numbers, lambda i: 1 + len(rows[i].response), tokens)


def by_prompt(rows: Sequence[Encoded], numbers: list[int], tokens: int) -> Iterator[list[int]]:
    """All rows of some prompts of like length, whose prompts together have so many tokens."""
    of_prompt: dict[tuple[int, ...], list[int]] = {}
    for i in numbers:
        of_prompt.setdefault(tuple(rows[i].prompt), []).append(i)
    groups = sorted(of_prompt.values(), key=lambda group: rows[group[0]].prompt)
    for part in _filled(list(range(len(groups))), lambda k: len(rows[groups[k][0]].prompt), tokens):
        yield [i for k in part for i in groups[k]]


def _filled(numbers: list[int], length: Callable[[int], int], tokens: int) -> Iterator[list[int]]:
    """In order of length, as many at a time as the tokens allow, padding included, and at least one."""
    batch: list[int] = []
    for i in sorted(numbers, key=length):
        if batch and (len(batch) + 1) * length(i) > tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
