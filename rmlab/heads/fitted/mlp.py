"""A fitted multilayer perceptron, which scores with numpy, and a faster approximation for many responses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rmlab.errors import RmlabError
from rmlab.heads.fitted.base import NormalisedHead, Standardiser, row_blocks
from rmlab.heads.fitted.storage import check_shapes, read_tensors, scale_of, write_tensors

FittedLayers = tuple[tuple[np.ndarray, np.ndarray], ...]  # (weight [out, in], bias [out]), first to last

RANKS = (64, 128, 256, 512)  # of a compressed layer, to be tried in this order
AGREEMENT = 0.9995  # rank correlation with the exact head that a compressed one needs
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
        return np.concatenate([(self._hidden(x[b]) @ weight.T + bias)[:, 0] for b in row_blocks(len(x), ROWS)])

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


@dataclass(frozen=True, eq=False)
class ThinLayer:
    """A layer of low rank, relu(outer (inner x) + bias). inner: [r, in]; outer: [out, r]; bias: [out]."""

    inner: np.ndarray
    outer: np.ndarray
    bias: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        hidden = (x @ self.inner.T) @ self.outer.T
        hidden += self.bias
        return np.maximum(hidden, 0, out=hidden)


@dataclass(frozen=True, eq=False, kw_only=True)
class CompressedMlp(NormalisedHead):
    """An approximation of an MlpHead by layers of low rank; agreement: its measured rank correlation.

    The standardisation of embeddings is part of the first layer.
    """

    kind: ClassVar[str] = "compressed mlp"
    layers: tuple[ThinLayer, ...]
    last: tuple[np.ndarray, np.ndarray]
    agreement: float = float("nan")

    @property
    def d(self) -> int:
        return int(self.layers[0].inner.shape[1])

    @property
    def work(self) -> int:
        """The number of multiplications for a response."""
        return sum(layer.inner.size + layer.outer.size for layer in self.layers)

    def _raw_block(self, x: np.ndarray) -> np.ndarray:
        return np.concatenate([self._scores(x[block]) for block in row_blocks(len(x), ROWS)])

    def _scores(self, hidden: np.ndarray) -> np.ndarray:
        for layer in self.layers:
            hidden = layer(hidden)
        weight, bias = self.last
        return (hidden @ weight.T + bias)[:, 0]

    def save(self, folder: Path) -> None:
        raise RmlabError("a compressed head is for scoring only; save the head it was made from")


def compressed(head: MlpHead, sample: np.ndarray) -> MlpHead | CompressedMlp:
    """Returns the approximation of lowest rank that agrees with the head, or the head itself.

    sample: [b, d] embeddings like those to score. On one half of them the principal directions V of each
    layer's outputs are computed, which give W ≈ V (Vᵀ W), the best approximation of its rank there; on the
    other half agreement is measured.
    """
    from scipy.stats import spearmanr  # here, so that scoring with a loaded head needs numpy alone

    fitted, held = sample[::2], sample[1::2]
    exact = head.raw(held)
    full = sum(weight.size for weight, _ in head.layers[:-1])
    directions = list(_directions(head, fitted))
    for rank in RANKS:
        thin = _of_rank(head, directions, rank)
        if thin.work >= full:
            break
        agreement = float(spearmanr(thin.raw(held), exact).statistic)
        if agreement >= AGREEMENT:
            return replace(thin, agreement=agreement)
    return head


def _directions(head: MlpHead, sample: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields each hidden layer's mean output [out] and principal directions [out, r], largest first."""
    from scipy.linalg import eigh

    hidden = head.standardiser.apply(sample, np.float32)
    for weight, bias in head.layers[:-1]:
        outputs = hidden @ weight.T
        mean = outputs.mean(axis=0)
        n = len(mean)
        covariance = np.cov(outputs, rowvar=False).reshape(n, n)
        vectors = eigh(covariance, subset_by_index=(max(0, n - RANKS[-1]), n - 1))[1]
        yield mean, np.ascontiguousarray(vectors[:, ::-1], dtype=np.float32)
        hidden = np.maximum(outputs + bias, 0)


def _of_rank(head: MlpHead, directions: list[tuple[np.ndarray, np.ndarray]], rank: int) -> CompressedMlp:
    """Returns the approximation of a given rank."""
    layers = []
    for (weight, bias), (mean, vectors) in zip(head.layers[:-1], directions, strict=True):
        outer = np.ascontiguousarray(vectors[:, :rank])
        rest = mean - outer @ (outer.T @ mean)  # the part of the mean output outside the directions
        layers.append(ThinLayer(outer.T @ weight, outer, bias + rest))
    scale, mean = head.standardiser.scale, head.standardiser.mean
    inner = layers[0].inner / scale
    shifted = layers[0].bias - layers[0].outer @ (inner @ mean)
    layers[0] = ThinLayer(inner.astype(np.float32), layers[0].outer, shifted.astype(np.float32))
    return CompressedMlp(
        layers=tuple(layers),
        last=head.layers[-1],
        gain=head.gain,
        bias=head.bias,
        temperature=head.temperature,
    )
