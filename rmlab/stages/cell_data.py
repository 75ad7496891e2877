"""What the cells of a sweep read, as files that worker processes map into memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from rmlab.artifacts.artifact import Artifact
from rmlab.stages.controls import read_surface
from rmlab.stages.responses import Responses, read_responses
from rmlab.stages.vectors import MappedVectors, StreamedVectors, map_vectors

_COLUMNS = ("prompt_ids", "golden", "group", "is_test", "lengths")
_READY = "ready"


@dataclass(frozen=True, eq=False)
class CellData:
    """responses and lengths, train and test, and the embeddings in their order."""

    responses: Responses
    lengths: np.ndarray
    vectors: MappedVectors
    _parts: dict[tuple[str, bytes], tuple[Responses, np.ndarray]] = field(default_factory=dict)

    def part(self, split: str, mask: np.ndarray) -> tuple[Responses, np.ndarray]:
        """Responses and lengths of a split: the same objects for equal masks, as what is sorted is kept."""
        key = (split, np.packbits(mask).tobytes())
        if key not in self._parts:
            for old in [k for k in self._parts if k[0] == split]:
                del self._parts[old]
            rows = np.flatnonzero(mask)
            self._parts[key] = self.responses.take(rows), self.lengths[rows]
        return self._parts[key]


def write_data(inputs: Mapping[str, Artifact], data: str, folder: Path) -> Path:
    """inputs: by role and data. A folder that an interrupted run has finished is used again."""
    if (folder / _READY).is_file():
        return folder
    folder.mkdir(exist_ok=True)
    sample, annotate = inputs[f"sample:{data}"], inputs[f"annotate:{data}"]
    responses = read_responses(sample, annotate, ["train", "test"])
    lengths = read_surface(inputs[f"prompts:{data}"], sample, responses).length
    columns = (
        responses.prompt_ids.astype(str),
        responses.golden,
        responses.group,
        responses.is_test,
        lengths,
    )
    for name, column in zip(_COLUMNS, columns, strict=True):
        np.save(folder / f"{name}.npy", column, allow_pickle=False)
    vectors = StreamedVectors(inputs[f"embed:{data}"], responses.ids)
    map_vectors(vectors, len(responses), folder / "vectors.npy")
    (folder / _READY).touch()
    return folder


@lru_cache(maxsize=2)
def read_data(folder: Path) -> CellData:
    """Once a process, however many cells it runs."""
    prompt_ids, golden, group, is_test, lengths = (
        np.load(folder / f"{name}.npy", allow_pickle=False) for name in _COLUMNS
    )
    ids = np.arange(len(golden)).astype(str)  # rows are all that a cell needs
    responses = Responses(ids, prompt_ids, golden, group, is_test)
    return CellData(responses, lengths, MappedVectors(folder / "vectors.npy"))
