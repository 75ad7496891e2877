"""The base of fitted heads: standardised input, bounded memory, normalised rewards."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import DTypeLike

from rmlab.errors import ConfigError, InputError

ROWS_AT_ONCE = 8192
ROWS_IN_CACHE = 512
ROUNDING = 1e-12  # share of the largest score below which a spread is rounding error
FLOAT32_RESOLUTION = float(np.finfo(np.float32).eps)


def no_features(kind: str) -> ConfigError:
    """Returns the error of a head that selection cannot use. kind: such as trees."""
    return ConfigError(f"a {kind} head has no features to select by; use head=linear, mlp or laplace")


@dataclass(frozen=True, eq=False, kw_only=True)
class NormalisedHead(ABC):
    """A fitted head with reward = gain * raw + bias, where raw is the score as fitted.

    P(a is preferred to b) = sigma((raw_a - raw_b) / temperature).
    """

    kind: ClassVar[str]
    gain: float = 1.0
    bias: float = 0.0
    temperature: float = 1.0

    @property
    @abstractmethod
    def d(self) -> int:
        """The width of the embeddings that the head was fitted on."""

    @abstractmethod
    def _raw_block(self, x: np.ndarray) -> np.ndarray:
        """[b, d] embeddings, checked -> [b] scores as fitted."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes head.json and the file of parameters beside it."""

    def raw(self, x: np.ndarray) -> np.ndarray:
        """[m, d] embeddings -> [m] float64 scores as fitted, a block of rows at a time."""
        if x.ndim != 2 or x.shape[1] != self.d:
            raise InputError(
                f"this head scores embeddings of width {self.d}, got shape {list(x.shape)}; "
                "embed with the model the head was fitted on"
            )
        raw = np.empty(len(x))
        for block in row_blocks(len(x)):
            if not np.isfinite(x[block]).all():
                raise InputError("the embeddings to score hold NaN or infinity; embed these responses again")
            raw[block] = self._raw_block(x[block])
        return raw

    def score(self, x: np.ndarray) -> np.ndarray:
        """[m, d] embeddings -> [m] float64 rewards."""
        return self.score_and_raw(x)[0]

    def score_and_raw(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[m, d] embeddings -> rewards and scores as fitted, [m] float64 each, in one pass."""
        raw = self.raw(x)
        return self.gain * raw + self.bias, raw

    def features(self, x: np.ndarray) -> np.ndarray:
        """[m, d] embeddings -> [m, f], the inputs of the last layer, which active selection reads."""
        raise no_features(self.kind)

    def normalised(self, reference_x: np.ndarray) -> Self:
        """Returns a copy whose rewards have mean 0 and standard deviation 1 on [m, d] reference responses."""
        gain, bias = mean_zero_std_one(self.raw(reference_x))
        return replace(self, gain=gain, bias=bias)

    def tempered(self, temperature: float) -> Self:
        """Returns a copy with this temperature."""
        return replace(self, temperature=temperature)

    def _description(self) -> dict[str, str | int | float]:
        """The entries of head.json that all heads have."""
        scale = {"gain": self.gain, "bias": self.bias, "temperature": self.temperature}
        return {"kind": self.kind, "d": self.d, **scale}


def row_blocks(n: int, size: int = ROWS_AT_ONCE) -> Iterator[slice]:
    """Yields slices that cover n rows, so that memory stays bounded."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


@dataclass(frozen=True, eq=False)
class Standardiser:
    """z = (x - mean) / scale for each feature; mean and scale are [d] float64."""

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def identity(cls, d: int) -> Standardiser:
        """A standardiser that leaves features as they are."""
        return cls(np.zeros(d), np.ones(d))

    @classmethod
    def of(cls, x: np.ndarray, rows: np.ndarray, wanted: bool) -> Standardiser:
        """Fits it if wanted, else returns the identity."""
        return cls.fit(x, rows) if wanted else cls.identity(x.shape[1])

    @classmethod
    def fit(cls, x: np.ndarray, rows: np.ndarray) -> Standardiser:
        """Computes mean and population standard deviation of x[rows], counting each row of the pool once."""
        rows = np.unique(rows)
        origin = x[rows[:ROWS_IN_CACHE]].mean(axis=0, dtype=np.float64)  # near the mean: little cancels
        total, squares = np.zeros(x.shape[1]), np.zeros(x.shape[1])
        for block in row_blocks(len(rows), ROWS_IN_CACHE):
            centred = x[rows[block]] - origin
            total += centred.sum(axis=0)
            squares += np.einsum("ij,ij->j", centred, centred)
        shift = total / len(rows)
        mean, variance = origin + shift, squares / len(rows) - shift**2
        std = np.sqrt(variance.clip(min=0))
        # A spread below the resolution of float32 is rounding error, which division would magnify.
        return cls(mean, np.where(std > FLOAT32_RESOLUTION * np.abs(mean), std, 1.0))

    def apply(self, x: np.ndarray, dtype: DTypeLike) -> np.ndarray:
        """Returns the standardised x, [m, d] of dtype, as a copy."""
        z = x.astype(dtype)
        z -= self.mean.astype(dtype)
        z /= self.scale.astype(dtype)
        return z


def mean_zero_std_one(raw: np.ndarray) -> tuple[float, float]:
    """Returns gain and bias such that gain * raw + bias has mean 0 and population standard deviation 1.

    raw: [m]; constant scores keep gain 1. Source: Ziegler et al. 2019 normalise rewards so.
    """
    if len(raw) == 0:
        raise InputError("no reference responses to normalise the rewards on; give at least one")
    mean, std = float(raw.mean()), float(raw.std())
    gain = 1.0 / std if std > ROUNDING * float(np.abs(raw).max()) else 1.0
    return gain, -gain * mean
