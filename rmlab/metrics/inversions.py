"""Pairs of a permutation that stand in the wrong order, for many permutations at once."""

from __future__ import annotations

import numpy as np


def inversions(permutations: np.ndarray) -> np.ndarray:
    """permutations: [b, K], each row of 0..K-1 -> [b] int64, pairs i < j with row[i] > row[j].

    Bit by bit from the highest: among the numbers that agree in the higher bits, kept in their order, a
    number with a 0 is inverted with every number with a 1 before it, which is its place less the place
    it gets among the zeros. O(K log K); ranges that are filled up to a power of two add no inversion.
    """
    b, k = permutations.shape
    bits = max(k - 1, 0).bit_length()
    full = np.empty((b, 1 << bits), dtype=np.int16 if bits < 15 else np.int64)
    full[:, :k], full[:, k:] = permutations, np.arange(k, 1 << bits)
    found = np.zeros(b, dtype=np.int64)
    for bit in range(bits - 1, -1, -1):
        half = 1 << bit
        one = (full & half) != 0
        groups = full.shape[1] // (2 * half)
        place = np.tile(np.arange(2 * half, dtype=np.float64), groups)
        zeros_stand = place.sum() - one @ place  # float64 holds these sums exactly below 2^53
        found += np.rint(zeros_stand).astype(np.int64) - groups * (half * (half - 1) // 2)
        if bit:
            low, high = full[~one].reshape(b, groups, half), full[one].reshape(b, groups, half)
            full = np.concatenate([low, high], axis=2).reshape(b, -1)
    return found
