"""Sequences of several lengths as one rectangle. Padding is always masked or out of reach, never pooled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


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


def _filled_ids(sequences: Sequence[Sequence[int]], mask: Tensor, pad: int, device: Any) -> tuple[Tensor, Tensor]:
    ids = torch.full(mask.shape, pad)
    ids[mask] = torch.tensor([token for s in sequences for token in s], dtype=ids.dtype)
    return ids.to(device), mask.long().to(device)
