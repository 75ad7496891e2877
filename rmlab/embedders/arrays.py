"""Embeddings that exist already as arrays [prompts, responses, dim]: see rmlab/data/forms/arrays.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from rmlab.compute import Compute
from rmlab.data.forms.arrays import Arrays, open_arrays
from rmlab.embedders.base import Embedded, OpenEmbedder, Tick
from rmlab.errors import InputError
from rmlab.settings import TemplateName
from rmlab.shipped import user_path
from rmlab.text import Exchange


@dataclass(frozen=True)
class ArraysEmbedder:
    """path: the folder of the arrays. storage null: float16 where the arrays are, else float32."""

    name: ClassVar[str] = "arrays"

    path: str = field(metadata={"source": True})
    storage: Literal["float32", "float16"] | None = None

    def open(self, model: str, template: TemplateName, compute: Compute) -> OpenEmbedder:
        return _ArraysSession(open_arrays(user_path(self.path)))


class _ArraysSession:
    template_hash = "file"

    def __init__(self, arrays: Arrays) -> None:
        self.arrays, self.dimension = arrays, arrays.dimension
        kinds = {split.embeddings.dtype for split in arrays.splits.values()}
        self.dtype = np.float16 if kinds == {np.dtype(np.float16)} else np.float32

    def check(self, response_ids: Sequence[str]) -> int:
        """The number of vectors that none of these responses asks for; InputError where one has no vector."""
        missing = [i for i in response_ids if self.arrays.place(i) is None]
        if missing:
            raise InputError(
                f"{self.arrays.path}: no embedding for {len(missing)} of {len(response_ids)} responses, as "
                f"{missing[0]}; read prompts, responses and scores from this folder too"
            )
        return self.arrays.n_answers - len(response_ids)

    def embed(self, exchanges: Sequence[Exchange], tick: Tick) -> Embedded:
        """n_tokens is -1: the arrays do not say it."""
        self.check([e.response_id for e in exchanges])
        vectors = np.empty((len(exchanges), self.dimension), dtype=self.dtype)
        for row, exchange in enumerate(exchanges):
            name, i, j = self.arrays.place(exchange.response_id) or ("", 0, 0)
            vectors[row] = self.arrays.splits[name].embeddings[i, j]
        tick(len(exchanges), 0)
        return Embedded(
            vectors, np.full(len(exchanges), -1, dtype=np.int32), np.zeros(len(exchanges), dtype=bool)
        )
