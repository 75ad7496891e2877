"""The data that the cells of a sweep read, as files that worker processes map into memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from rmlab.evaluation.controls import read_surface
from rmlab.evaluation.measure import JudgedSplit
from rmlab.removal import move, remove_file, remove_scratch
from rmlab.responses.table import Responses, golden_of, read_responses
from rmlab.responses.vectors import MappedVectors, StreamedVectors, map_vectors
from rmlab.storage.artifact import Artifact
from rmlab.storage.digest import digest

_COLUMNS = ("golden", "group", "is_test", "lengths")
_PROMPTS = "prompts.npy"
_GROUPS = "groups.npy"
_VECTORS = "vectors.txt"  # names the file beside the folder, which several folders may read
_OBJECTIVE = "objective-"  # begins names of files


@dataclass(frozen=True, eq=False)
class CellData:
    """responses and lengths, train and test, and the embeddings in their order. objectives: scores of other
    golden rewards, NaN where they failed, in the same order."""

    responses: Responses
    lengths: np.ndarray
    vectors: MappedVectors
    objectives: dict[str, np.ndarray] = field(default_factory=dict)
    _splits: dict[str, tuple[np.ndarray, JudgedSplit]] = field(default_factory=dict)

    @cached_property
    def train(self) -> Responses:
        return self.responses.take(np.flatnonzero(~self.responses.is_test))

    @cached_property
    def train_objectives(self) -> dict[str, np.ndarray]:
        return {name: golden[~self.responses.is_test] for name, golden in self.objectives.items()}

    def split(self, name: str, rows: np.ndarray) -> JudgedSplit:
        """Some rows; the last that were asked for under this name are kept, since most cells share them."""
        known = self._splits.get(name)
        if known is None or not np.array_equal(known[0], rows):
            known = rows, JudgedSplit.of(name, self.responses, rows, self.lengths)
            self._splits[name] = known
        return known[1]


def forget_data(work: Path) -> None:
    """Deletes the data that an earlier run wrote there, since nothing tells whether it still is intact."""
    for folder in (*work.glob("data-*"), *work.glob("unfinished-*")):
        remove_scratch(folder)
    for file in work.glob("vectors-*.npy"):
        remove_file(file)


def write_data(inputs: Mapping[str, Artifact], data: str, work: Path) -> Path:
    """The folder of `work` that read_data reads. inputs: by role and data."""
    folder = work / f"data-{data}"
    sample, annotate = inputs[f"sample:{data}"], inputs[f"annotate:{data}"]
    responses = read_responses(sample, annotate, ["train", "test"])
    lengths = read_surface(inputs[f"prompts:{data}"], sample, responses).length
    unfinished = work / f"unfinished-{data}"
    unfinished.mkdir()
    columns = (responses.golden, responses.group, responses.is_test, lengths)
    for name, column in zip(_COLUMNS, columns, strict=True):
        np.save(unfinished / f"{name}.npy", column, allow_pickle=False)
    np.save(unfinished / _PROMPTS, np.array(responses.distinct_prompts, dtype=str), allow_pickle=False)
    np.save(unfinished / _GROUPS, np.array(responses.distinct_groups, dtype=str), allow_pickle=False)
    for role, rewarded in inputs.items():
        what, _, name = role.removesuffix(f":{data}").partition(":")
        if what == "objective" and role.endswith(f":{data}"):
            scores = golden_of(rewarded, responses.ids)
            np.save(unfinished / f"{_OBJECTIVE}{name}.npy", scores, allow_pickle=False)
    vectors = _vectors(sample, inputs[f"embed:{data}"], responses, work)
    (unfinished / _VECTORS).write_text(vectors.name, encoding="utf-8")
    move(unfinished, folder)
    return folder


def _vectors(sample: Artifact, embed: Artifact, responses: Responses, work: Path) -> Path:
    """The embeddings in the order of the responses: one file for all golden rewards that score the same."""
    left = responses.ids.tolist() if responses.n_failed else []
    key = digest([sample.manifest.fingerprint, embed.manifest.fingerprint, left])[:16]
    file = work / f"vectors-{key}.npy"
    if not file.is_file():
        map_vectors(StreamedVectors(embed, responses.ids), len(responses), file)
    return file


@lru_cache(maxsize=2)
def read_data(folder: Path) -> CellData:
    """Once a process, however many cells it runs."""
    golden, group, is_test, lengths = (
        np.load(folder / f"{name}.npy", allow_pickle=False) for name in _COLUMNS
    )
    prompts, groups = (
        pa.DictionaryArray.from_arrays(group, np.load(folder / name, allow_pickle=False).tolist())
        for name in (_PROMPTS, _GROUPS)
    )
    ids = pa.array(np.arange(len(golden)))  # rows are all that a cell needs
    responses = Responses(ids, prompts, golden, group, is_test, split_groups=groups)
    objectives = {
        file.stem.removeprefix(_OBJECTIVE): np.load(file, allow_pickle=False)
        for file in sorted(folder.glob(f"{_OBJECTIVE}*.npy"))
    }
    vectors = folder.parent / Path((folder / _VECTORS).read_text(encoding="utf-8")).name
    return CellData(responses, lengths, MappedVectors(vectors), objectives)
