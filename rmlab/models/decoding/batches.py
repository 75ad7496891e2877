"""Batches of texts of similar length, padded to equal length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from rmlab.models.text.tokens import Encoded


def split_by_sharing(rows: Sequence[Encoded], shares: bool) -> tuple[list[int], list[int]]:
    """Returns the rows to read whole, and those to read after a shared prompt, if `shares`."""
    uses = Counter(tuple(r.prompt) for r in rows)
    together = [shares and len(r.prompt) > 1 and uses[tuple(r.prompt)] > 1 for r in rows]
    return [i for i, t in enumerate(together) if not t], [i for i, t in enumerate(together) if t]


def by_length(rows: Sequence[Encoded], numbers: list[int], tokens: int) -> Iterator[list[int]]:
    """Yields batches of whole texts, of at most so many tokens with padding."""
    return _batched(numbers, lambda i: len(rows[i].prompt) + len(rows[i].response), tokens)


def by_response(rows: Sequence[Encoded], numbers: list[int], tokens: int) -> Iterator[list[int]]:
    """Yields batches of responses, each with the last token of its prompt."""
    return _batched(numbers, lambda i: 1 + len(rows[i].response), tokens)


def by_prompt(rows: Sequence[Encoded], numbers: list[int], tokens: int) -> Iterator[list[int]]:
    """Yields all rows of prompts of similar length that together have at most so many tokens."""
    of_prompt: dict[tuple[int, ...], list[int]] = {}
    for i in numbers:
        of_prompt.setdefault(tuple(rows[i].prompt), []).append(i)
    groups = sorted(of_prompt.values(), key=lambda group: rows[group[0]].prompt)
    for part in _batched(list(range(len(groups))), lambda k: len(rows[groups[k][0]].prompt), tokens):
        yield [i for k in part for i in groups[k]]


def consecutive(lengths: Sequence[int], tokens: int) -> Iterator[slice]:
    """Yields slices of texts in order, at least one text each, of at most so many tokens with padding."""
    start, longest = 0, 0
    for i, length in enumerate(lengths):
        longest = max(longest, length)
        if i > start and (i + 1 - start) * longest > tokens:
            yield slice(start, i)
            start, longest = i, length
    if start < len(lengths):
        yield slice(start, len(lengths))


def _batched(numbers: list[int], length: Callable[[int], int], tokens: int) -> Iterator[list[int]]:
    """Yields batches in order of length."""
    ordered = sorted(numbers, key=length)
    for part in consecutive([length(i) for i in ordered], tokens):
        yield ordered[part]


def pad_right(sequences: Sequence[Sequence[int]], pad: int, device: Any) -> tuple[Tensor, Tensor]:
    """Returns ids and mask, [n, longest], padded on the right."""
    lengths = torch.tensor([len(s) for s in sequences])
    mask = torch.arange(int(lengths.max()))[None, :] < lengths[:, None]
    return _padded(sequences, mask, pad, device)


def pad_left(sequences: Sequence[Sequence[int]], pad: int, device: Any) -> tuple[Tensor, Tensor]:
    """Returns ids and mask, [n, longest], padded on the left."""
    lengths = torch.tensor([len(s) for s in sequences])
    longest = int(lengths.max())
    mask = torch.arange(longest)[None, :] >= longest - lengths[:, None]
    return _padded(sequences, mask, pad, device)


def _padded(sequences: Sequence[Sequence[int]], mask: Tensor, pad: int, device: Any) -> tuple[Tensor, Tensor]:
    """Puts the tokens where the mask is True."""
    ids = torch.full(mask.shape, pad)
    ids[mask] = torch.tensor([token for s in sequences for token in s], dtype=ids.dtype)
    return ids.to(device), mask.long().to(device)
