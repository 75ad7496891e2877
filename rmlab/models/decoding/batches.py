"""Texts of like length in one batch, padded to a rectangle; padding is masked and never pooled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from rmlab.models.text.tokens import Encoded


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


def runs(lengths: Sequence[int], tokens: int) -> Iterator[slice]:
    """Texts as they stand, as many at a time as the tokens allow, padding included, and at least one."""
    start, longest = 0, 0
    for i, length in enumerate(lengths):
        longest = max(longest, length)
        if i > start and (i + 1 - start) * longest > tokens:
            yield slice(start, i)
            start, longest = i, length
    if start < len(lengths):
        yield slice(start, len(lengths))


def _filled(numbers: list[int], length: Callable[[int], int], tokens: int) -> Iterator[list[int]]:
    """Runs in order of length."""
    ordered = sorted(numbers, key=length)
    for part in runs([length(i) for i in ordered], tokens):
        yield ordered[part]


def pad_right(sequences: Sequence[Sequence[int]], pad: int, device: Any) -> tuple[Tensor, Tensor]:
    """ids and mask [n, longest]."""
    lengths = torch.tensor([len(s) for s in sequences])
    mask = torch.arange(int(lengths.max()))[None, :] < lengths[:, None]
    return _filled_ids(sequences, mask, pad, device)


def pad_left(sequences: Sequence[Sequence[int]], pad: int, device: Any) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(s) for s in sequences])
    longest = int(lengths.max())
    mask = torch.arange(longest)[None, :] >= longest - lengths[:, None]
    return _filled_ids(sequences, mask, pad, device)


def _filled_ids(
    sequences: Sequence[Sequence[int]], mask: Tensor, pad: int, device: Any
) -> tuple[Tensor, Tensor]:
    ids = torch.full(mask.shape, pad)
    ids[mask] = torch.tensor([token for s in sequences for token in s], dtype=ids.dtype)
    return ids.to(device), mask.long().to(device)
