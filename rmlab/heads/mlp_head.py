"""A fitted multilayer perceptron, scored with numpy alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rmlab.heads.scoring import NormalisedHead
from rmlab.heads.standardise import Standardiser, row_blocks
from rmlab.heads.storage import check_shapes, number_of, read_tensors, temperature_of, write_tensors

FittedLayers = tuple[tuple[np.ndarray, np.ndarray], ...]  # (weight [out, in], bias [out]), first to last


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
        return (self._hidden(x) @ weight.T + bias)[:, 0]

    def _hidden(self, x: np.ndarray) -> np.ndarray:
        """[b, d] -> [b, f], the last hidden layer."""
        hidden = self.standardiser.apply(x, np.float32)
        for weight, bias in self.layers[:-1]:
            hidden = hidden @ weight.T
            hidden += bias
            np.maximum(hidden, 0, out=hidden)
        return hidden

    def features(self, x: np.ndarray) -> np.ndarray:
        return np.concatenate([self._hidden(x[block]) for block in row_blocks(len(x))])

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
            gain=number_of(description, "gain"),
            bias=number_of(description, "bias"),
            temperature=temperature_of(description),
        )


def _check_layers(layers: FittedLayers, tensors: Mapping[str, np.ndarray]) -> None:
    """ValueError unless each layer takes what the one before it gives, and the last gives one number."""
    width = layers[0][0].shape[-1] if layers[0][0].ndim else 0
    check_shapes(tensors, {"mean": (width,), "scale": (width,)})
    for i, (weight, _) in enumerate(layers):
        out = 1 if i == len(layers) - 1 else len(weight) if weight.ndim else 0
        check_shapes(tensors, {f"weight_{i}": (out, width), f"bias_{i}": (out,)})
        width = out
