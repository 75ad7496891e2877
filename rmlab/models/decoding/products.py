"""Products with weights that are laid out once for the processor, in place of at each product.

On a CPU a product of few rows spends much of its time on bringing the weight into the order that its
registers want: with 100 rows of a model of width 576, weights in that order made float32 products a third
faster than `linear`, and bfloat16 ones a tenth. oneDNN, which comes with torch, lays them out.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from rmlab.models.compute import memory_bytes

_SHARE = 0.125  # of the machine's memory that a second copy of a model's weights may take


class Product:
    """x Wᵀ + b for one weight [o, i]; without derivatives."""

    def __init__(self, weight: Tensor, bias: Tensor | None, lay_out: bool) -> None:
        """lay_out: whether to keep the weight as the processor wants it, which takes memory once more."""
        self.weight, self.bias, self.laid_out = weight.detach(), bias, None
        if lay_out and can_lay_out(weight.device.type, weight.dtype):
            self.laid_out = torch.ops.mkldnn._reorder_linear_weight(self.weight.contiguous(), None)

    def __call__(self, x: Tensor) -> Tensor:
        """Returns the product; x: [..., i]."""
        if self.laid_out is None or not x.numel():
            return torch.nn.functional.linear(x, self.weight, self.bias)
        return torch.ops.mkldnn._linear_pointwise(x, self.laid_out, self.bias, "none", [], "")


def lay_out_products(model: Any) -> None:
    """Makes the linear layers of a model use Product; from then on it gives no derivatives."""
    layers = [
        layer
        for layer in model.modules()
        if type(layer) is torch.nn.Linear and can_lay_out(layer.weight.device.type, layer.weight.dtype)
    ]
    if has_room(layer.weight for layer in layers):
        for layer in layers:
            layer.forward = _LaidOut(layer)


class _LaidOut:
    """The forward pass of a linear layer by a Product, until the layer's weight is moved or has another type.

    A weight that is changed in its place is not seen: rmlab loads models to read with them alone.
    """

    def __init__(self, layer: Any) -> None:
        self.layer, self.product = weakref.proxy(layer), Product(layer.weight, layer.bias, lay_out=True)

    def __call__(self, x: Tensor) -> Tensor:
        weight = self.layer.weight
        if weight.data_ptr() == self.product.weight.data_ptr():
            return self.product(x)
        return torch.nn.functional.linear(x, weight, self.layer.bias)


def has_room(weights: Iterable[Tensor]) -> bool:
    """Tells whether this machine has room for a second copy of the weights, whatever else it does now: the
    last bits of results hang on it."""
    return sum(weight.numel() * weight.element_size() for weight in weights) <= _SHARE * memory_bytes()


@cache
def can_lay_out(device: str, dtype: torch.dtype) -> bool:
    """Tells whether this machine and torch lay out weights of a type, and multiply with them correctly."""
    if device != "cpu" or dtype not in (torch.float32, torch.bfloat16):
        return False
    weight = torch.linspace(-1, 1, 32 * 48).reshape(32, 48).to(dtype)
    x = torch.linspace(-1, 1, 3 * 48).reshape(3, 48).to(dtype)
    try:
        with torch.inference_mode():
            laid_out = torch.ops.mkldnn._reorder_linear_weight(weight, None)
            found = torch.ops.mkldnn._linear_pointwise(x, laid_out, None, "none", [], "")
    except (RuntimeError, AttributeError, TypeError):  # another processor, or another torch
        return False
    return torch.allclose(found.float(), torch.nn.functional.linear(x, weight).float(), rtol=1e-2, atol=1e-2)
