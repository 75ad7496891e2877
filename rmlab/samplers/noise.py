"""Random numbers by address: the noise of a token of a sample's step is a hash of where it stands.

So it is the same in any batch and order, on any device, and only what is looked at is ever computed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rmlab.artifacts.fingerprint import digest

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15, the increment of splitmix64, as a signed number
_FIRST, _SECOND = -4658895280553007687, -7723592293110705685  # its multipliers


def sample_key(seed: int, prompt_id: str, index: int) -> int:
    """64 bits that name a sample, signed as torch has them."""
    key = int(digest([seed, "noise", prompt_id, index])[:16], 16)
    return key - 2**64 if key >= 2**63 else key


def step_keys(keys: Tensor, step: int) -> Tensor:
    """[n] int64 of samples -> of their step."""
    return _mixed(keys + torch.tensor(step + 1, device=keys.device) * _GOLDEN)


def gumbel(keys: Tensor, ids: Tensor) -> Tensor:
    """keys [n], ids [n, k] -> [n, k] float64: -log(-log u), u uniform by key and id."""
    bits = _mixed(keys[:, None] + (ids + 1) * _GOLDEN)
    uniform = (((bits >> 11) & (2**53 - 1)).double() + 0.5) * 2.0**-53
    return uniform.log_().neg_().log_().neg_()


def _mixed(z: Tensor) -> Tensor:
    """The finaliser of splitmix64 (Steele et al. 2014); int64 products wrap around, shifts are logical."""
    z = (z ^ ((z >> 30) & (2**34 - 1))) * _FIRST
    z = (z ^ ((z >> 27) & (2**37 - 1))) * _SECOND
    return z ^ ((z >> 31) & (2**33 - 1))
