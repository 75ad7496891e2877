"""The protocols of embedders, which turn prompts with responses into vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from rmlab.config.settings import TemplateName
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange
from rmlab.models.text.tokens import Encoded


@dataclass(frozen=True)
class Embedded:
    """Embeddings of n responses.

    vectors: [n, d] float32; n_tokens: [n] response tokens; truncated: [n] bool.
    """

    vectors: np.ndarray
    n_tokens: np.ndarray
    truncated: np.ndarray


Tick = Callable[[int, int], None]  # called with the rows and the tokens just embedded


class OpenEmbedder(Protocol):
    """An embedder whose model is loaded."""

    dimension: int
    template_hash: str

    def embed(self, exchanges: Sequence[Exchange], tick: Tick) -> Embedded:
        """Embeds responses with their prompts."""
        ...


@runtime_checkable
class ManyViews(Protocol):
    """An opened embedder whose single pass over the texts can serve several embedders.

    They differ only in fields marked `field(metadata={"view": True})`, such as layer and pooling.
    """

    def embed_views(self, exchanges: Sequence[Exchange], views: Sequence[Any], tick: Tick) -> list[Embedded]:
        """Returns the embeddings by each of the embedders `views`, in order.

        tick is called once for each text.
        """
        ...


class Embedder(Protocol):
    """The settings of an embedder."""

    def open(self, model: str, template: TemplateName, compute: Compute) -> OpenEmbedder:
        """Loads the model. model: the policy's, for embedders that name none of their own."""
        ...


@runtime_checkable
class ReadsTokens(Protocol):
    """An opened embedder that also reads texts which are tokens already.

    limit: the most tokens of a text; pooling: as in the embedder's settings.
    """

    tokenizer: Any
    limit: int
    pooling: str

    def embed_tokens(self, rows: Sequence[Encoded], tick: Tick) -> Embedded:
        """Embeds texts of prompt and response; what is longer than the limit is cut."""
        ...
