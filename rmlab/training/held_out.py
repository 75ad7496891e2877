"""Demonstrations kept from training, to evaluate it on."""

from __future__ import annotations

from rmlab.data.demonstrations import Demonstration
from rmlab.data.prompts import content_id, hash_share

Demonstrations = list[Demonstration]


def hold_out(demonstrations: Demonstrations, fraction: float) -> tuple[Demonstrations, Demonstrations]:
    """Those to learn from and those held out: the prompts with the smallest hashes of their content.

    Demonstrations of one prompt stay together. The share of prompts is rounded, so few may give none;
    one prompt at least is left to learn from.
    """
    ids = [content_id(d.messages) for d in demonstrations]
    distinct = sorted(set(ids), key=lambda i: hash_share(i, "sft-evaluation"))
    held = set(distinct[: min(round(fraction * len(distinct)), max(0, len(distinct) - 1))])
    parts: tuple[Demonstrations, Demonstrations] = ([], [])
    for i, demonstration in zip(ids, demonstrations, strict=True):
        parts[i in held].append(demonstration)
    return parts
