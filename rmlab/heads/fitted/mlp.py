"""A fitted multilayer perceptron, which scores with numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rmlab.heads.fitted.base import NormalisedHead, Standardiser, row_blocks
from rmlab.heads.fitted.storage import check_shapes, read_tensors, scale_of, write_tensors

FittedLayers = tuple[tuple[np.ndarray, np.ndarray], ...]  # (weight [out, in], bias [out]), first to last

ROWS = 1024  # scored at once: they and their hidden units fit the processor's cache


@dataclass(frozen=True, eq=False, kw_only=True)
class MlpHead(NormalisedHead):
    """raw = W_L relu(… relu(W_1 z + b_1) …) + b_L with z = (x - mean) / scale, in float32."""

    kind: ClassVar[str] = "mlp"
    layers: FittedLayers
    standardiser: Standardiser

    @property
    def d(self) -> int:
        return int(self.layers[0][0].shape[1])

    def _raw_block(self, x: np.ndarray) -> np.ndarray:
        weight, bias = self.layers[-1]
        return (self.features(x) @ weight.T + bias)[:, 0]

    def _hidden(self, x: np.ndarray) -> np.ndarray:
        """Returns the last hidden layer, [b, f]. x: [b, d]."""
        hidden = self.standardiser.apply(x, np.float32)
        for weight, bias in self.layers[:-1]:
            hidden = hidden @ weight.T
            hidden += bias
            np.maximum(hidden, 0, out=hidden)
        return hidden

    def features(self, x: np.ndarray) -> np.ndarray:
        return np.concatenate([self._hidden(x[block]) for block in row_blocks(len(x), ROWS)])

    def save(self, folder: Path) -> None:
        tensors = {"mean": self.standardiser.mean, "scale": self.standardiser.scale}
        for index, (weight, bias) in enumerate(self.layers):
            tensors |= {f"weight_{index}": weight, f"bias_{index}": bias}
        write_tensors(folder, tensors, {**self._description(), "n_layers": len(self.layers)})

    @classmethod
    def load(cls, folder: Path, description: Mapping[str, Any]) -> MlpHead:
        tensors = read_tensors(folder, description)
        indices = [i for i in range(len(tensors)) if f"weight_{i}" in tensors]
        if not indices or description["n_layers"] != len(indices):
            raise ValueError(f"n_layers is {description['n_layers']!r}, not {len(indices)}")
        layers = tuple((tensors[f"weight_{i}"], tensors[f"bias_{i}"]) for i in indices)
        _check_layers(layers, tensors)
        return cls(
            layers=layers,
            standardiser=Standardiser(tensors["mean"], tensors["scale"]),
            **scale_of(description),
        )


def _check_layers(layers: FittedLayers, tensors: Mapping[str, np.ndarray]) -> None:
    """Raises ValueError unless the shapes of successive layers match and the last has one output."""
    width = layers[0][0].shape[-1] if layers[0][0].ndim else 0
    check_shapes(tensors, {"mean": (width,), "scale": (width,)})
    for i, (weight, _) in enumerate(layers):
        out = 1 if i == len(layers) - 1 else len(weight) if weight.ndim else 0
        check_shapes(tensors, {f"weight_{i}": (out, width), f"bias_{i}": (out,)})
        width = out
