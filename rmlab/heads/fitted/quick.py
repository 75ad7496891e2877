"""Forms of a fitted MLP that score many responses sooner, by thinner products or by products in bfloat16."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear

from rmlab.errors import RmlabError
from rmlab.heads.fitted.base import NormalisedHead, row_blocks
from rmlab.heads.fitted.mlp import ROWS, MlpHead
from rmlab.models.product_rates import rates

RANKS = (64, 128, 256, 512)  # of a compressed layer, to be tried in this order
AGREEMENT = 0.9995  # rank correlation with the exact head that a quick form needs
MUCH = 4e11  # multiplications in bfloat16; for fewer the trial of thinner layers takes longer than it saves
GAIN = 1.4  # times as fast as float32 that products in bfloat16 must be


class Layer(NamedTuple):
    """relu(W_k … W_1 z + bias): weights [W_1, …, W_k], each [out, in], float32."""

    weights: Sequence[np.ndarray]
    bias: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class QuickMlp(NormalisedHead):
    """An approximation of an MlpHead; agreement: its measured rank correlation with that head."""

    agreement: float = float("nan")

    def save(self, folder: Path) -> None:
        raise RmlabError("a compressed head is for scoring only; save the head it was made from")


@dataclass(frozen=True, eq=False, kw_only=True)
class CompressedMlp(QuickMlp):
    """Layers of low rank, in float32. The standardisation of embeddings is part of the first."""

    kind: ClassVar[str] = "compressed mlp"
    layers: tuple[Layer, ...]
    last: tuple[np.ndarray, np.ndarray]

    @property
    def d(self) -> int:
        return int(self.layers[0].weights[0].shape[1])

    def _raw_block(self, x: np.ndarray) -> np.ndarray:
        return np.concatenate([self._scores(x[block]) for block in row_blocks(len(x), ROWS)])

    def _scores(self, hidden: np.ndarray) -> np.ndarray:
        for weights, bias in self.layers:
            for weight in weights:
                hidden = hidden @ weight.T
            hidden += bias
            np.maximum(hidden, 0, out=hidden)
        weight, bias = self.last
        return (hidden @ weight.T + bias)[:, 0]


@dataclass(frozen=True, eq=False, kw_only=True)
class Bfloat16Mlp(QuickMlp):
    """Layers, whole or of low rank, whose products are of bfloat16 numbers, summed in float32.

    The mean is subtracted from embeddings before they are rounded, since some dimensions of language models
    are far from 0; the division by the scale is part of the first layer. The last layer, which gives the
    scores, is in float32. mean: [d] float32; layers: (weights, bias), all bfloat16.
    """

    kind: ClassVar[str] = "bfloat16 mlp"
    mean: Tensor
    layers: tuple[tuple[tuple[Tensor, ...], Tensor], ...]
    last: tuple[Tensor, Tensor]

    @property
    def d(self) -> int:
        return len(self.mean)

    @torch.inference_mode()
    def _raw_block(self, x: np.ndarray) -> np.ndarray:
        rows = torch.from_numpy(x).split(ROWS)
        return torch.cat([self._scores(block) for block in rows]).numpy()

    def _scores(self, x: Tensor) -> Tensor:
        hidden = (x - self.mean).bfloat16()
        for weights, bias in self.layers:
            for weight in weights[:-1]:
                hidden = linear(hidden, weight)
            hidden = linear(hidden, weights[-1], bias).relu_()
        return linear(hidden.float(), *self.last)[:, 0]


def quick_mlp(head: MlpHead, sample: np.ndarray, n: float = math.inf) -> MlpHead | QuickMlp:
    """Returns the quick form of least work that agrees with the head, or the head itself.

    sample: [b, d] embeddings like those to score, of which there are n. On one half of them the principal
    directions V of each layer's outputs are computed, which give W ≈ V (Vᵀ W), the best approximation of its
    rank there; on the other half agreement is measured. All is in bfloat16 where this machine multiplies such
    numbers faster and the head agrees with itself in bfloat16; it is then made no thinner for few responses.
    """
    from scipy.stats import spearmanr

    fitted, held = sample[::2], sample[1::2]
    exact = head.raw(held)

    def measured(quick: QuickMlp) -> QuickMlp:
        return replace(quick, agreement=float(spearmanr(quick.raw(held), exact).statistic))

    whole = [Layer([weight], bias) for weight, bias in head.layers[:-1]]
    rounded = None
    if whole and bfloat16_pays(*whole[0].weights[0].shape):
        rounded = measured(in_bfloat16(head, whole))
    is_rounded = rounded is not None and rounded.agreement >= AGREEMENT
    if rounded is not None and is_rounded and n * _work(whole) < MUCH:
        return rounded
    for layers in _thinner(head, whole, fitted):
        thin = measured(in_bfloat16(head, layers) if is_rounded else in_float32(head, layers))
        if thin.agreement >= AGREEMENT:
            return thin
    return rounded if rounded is not None and is_rounded else head


def _thinner(head: MlpHead, whole: Sequence[Layer], sample: np.ndarray) -> Iterator[list[Layer]]:
    """The layers at growing ranks, as long as that is less work than the whole."""
    directions = list(_directions(head, sample))
    for rank in RANKS:
        thin = [_thin(layer, *found, rank) for layer, found in zip(whole, directions, strict=True)]
        if _work(thin) >= _work(whole):
            return
        yield thin


def _work(layers: Sequence[Layer]) -> int:
    """The number of multiplications for a response."""
    return sum(weight.size for layer in layers for weight in layer.weights)


def _directions(head: MlpHead, sample: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields each hidden layer's mean output [out] and principal directions [out, r], largest first."""
    hidden = head.standardiser.apply(sample, np.float32)
    for weight, bias in head.layers[:-1]:
        outputs = hidden @ weight.T
        mean = outputs.mean(axis=0)
        centred = outputs - mean
        vectors = torch.linalg.eigh(torch.from_numpy(centred.T @ centred)).eigenvectors.numpy()
        yield mean, vectors[:, ::-1][:, : RANKS[-1]]
        hidden = np.maximum(outputs + bias, 0)


def _thin(layer: Layer, mean: np.ndarray, vectors: np.ndarray, rank: int) -> Layer:
    """The layer with its outputs projected on the first directions, around their mean."""
    outer = np.ascontiguousarray(vectors[:, :rank])
    rest = mean - outer @ (outer.T @ mean)  # the part of the mean output outside the directions
    return Layer([outer.T @ layer.weights[0], outer], layer.bias + rest)


def in_float32(head: MlpHead, layers: Sequence[Layer]) -> CompressedMlp:
    """layers: of low rank, for standardised embeddings."""
    (inner, outer), bias = layers[0]
    inner = inner / head.standardiser.scale
    shifted = bias - outer @ (inner @ head.standardiser.mean)
    first = Layer([inner.astype(np.float32), outer], shifted.astype(np.float32))
    return CompressedMlp(layers=(first, *layers[1:]), last=head.layers[-1], **_scale(head))


def in_bfloat16(head: MlpHead, layers: Sequence[Layer]) -> Bfloat16Mlp:
    """layers: for standardised embeddings."""
    (inner, *others), bias = layers[0]
    first = Layer([inner / head.standardiser.scale, *others], bias)
    rounded = [
        (tuple(_rounded(weight) for weight in weights), _rounded(offset))
        for weights, offset in (first, *layers[1:])
    ]
    weight, bias = (torch.from_numpy(part) for part in head.layers[-1])
    mean = torch.from_numpy(head.standardiser.mean).float()
    return Bfloat16Mlp(mean=mean, layers=tuple(rounded), last=(weight, bias), **_scale(head))


def _rounded(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).bfloat16()


def _scale(head: MlpHead) -> dict[str, float]:
    return {"gain": head.gain, "bias": head.bias, "temperature": head.temperature}


def bfloat16_pays(n_out: int, n_in: int) -> bool:
    """Tells whether products of these shapes are clearly faster in bfloat16 on this machine, the rounding of
    embeddings included; the answer is kept, so that all processes have the same."""
    return rates(n_in, n_out).gain >= GAIN
