"""An embedder turns exchanges into vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from rmlab.config.settings import TemplateName
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange


@dataclass(frozen=True)
class Embedded:
    """vectors [n, d] float32; n_tokens [n] response tokens; truncated [n] bool."""

    vectors: np.ndarray
    n_tokens: np.ndarray
    truncated: np.ndarray


Tick = Callable[[int, int], None]  # told the rows and the tokens just done


class OpenEmbedder(Protocol):
    dimension: int
    template_hash: str

    def embed(self, exchanges: Sequence[Exchange], tick: Tick) -> Embedded: ...


@runtime_checkable
class ManyViews(Protocol):
    """An opened embedder whose one pass over the texts serves several embedders.

    They differ only in fields marked `field(metadata={"view": True})`, such as layer and pooling.
    """

    def embed_views(self, exchanges: Sequence[Exchange], views: Sequence[Any], tick: Tick) -> list[Embedded]:
        """One for each of the embedders `views`, in their order; rows and tokens are told once."""
        ...


class Embedder(Protocol):
    def open(self, model: str, template: TemplateName, compute: Compute) -> OpenEmbedder:
        """model: the policy's model, used where the embedder names none of its own."""
        ...
