"""Responses of some splits with golden scores and embeddings, joined by response_id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmlab.artifacts.artifact import Artifact
from rmlab.comparisons import Pool
from rmlab.errors import InputError


@dataclass(frozen=True)
class Responses:
    """ids, prompt_ids: [m] text; group: [m] int64 number of the prompt; golden: [m] float64."""

    ids: np.ndarray
    prompt_ids: np.ndarray
    golden: np.ndarray
    group: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: np.ndarray) -> Responses:
        return Responses(self.ids[rows], self.prompt_ids[rows], self.golden[rows], self.group[rows])

    @property
    def pool(self) -> Pool:
        return Pool(self.golden, self.group)


def read_responses(sample: Artifact, annotate: Artifact, splits: Sequence[str]) -> Responses:
    """Rows in the order of their ids, so that nothing depends on the order of a file."""
    table = sample.read(columns=["response_id", "prompt_id", "split"])
    table = table.filter(pc.field("split").isin(list(splits))).sort_by("response_id")
    if table.num_rows == 0:
        raise InputError(f"{sample.path}: no responses of the {' or '.join(splits)} prompts")
    scores = annotate.read(columns=["response_id", "score"])
    rows = positions(table["response_id"], scores["response_id"], f"{annotate.path}: no score for")
    golden = scores["score"].to_numpy()[rows]
    prompt_ids = table["prompt_id"].to_numpy()
    _, group = np.unique(prompt_ids.astype(str), return_inverse=True)
    return Responses(table["response_id"].to_numpy(), prompt_ids, golden, group.astype(np.int64))


def positions(wanted: pa.ChunkedArray, known: pa.ChunkedArray, missing: str) -> np.ndarray:
    """Where each wanted id stands among the known ones; InputError if one does not."""
    if len(known) != len(pc.unique(known)):
        raise InputError(
            f"{missing.split(':', maxsplit=1)[0]}: response ids repeat; run its stage again with --force"
        )
    found = pc.index_in(wanted, value_set=pc.cast(known, wanted.type).combine_chunks())
    if found.null_count:
        first = wanted.filter(pc.is_null(found))[0].as_py()
        raise InputError(f"{missing} {found.null_count} responses, such as {first}; run that stage again")
    return found.to_numpy()


def read_embeddings(embed: Artifact, ids: np.ndarray) -> np.ndarray:
    """[m, d] float32, the rows in the order of ids; parts are read one at a time."""
    place = {response_id: i for i, response_id in enumerate(ids)}
    x: np.ndarray | None = None
    seen = np.zeros(len(ids), dtype=bool)
    for part in embed.stream(columns=["response_id", "embedding"]):
        vectors = _matrix(part["embedding"])
        if x is None:
            x = np.empty((len(ids), vectors.shape[1]), dtype=np.float32)
        found = [(k, place[r]) for k, r in enumerate(part["response_id"].to_pylist()) if r in place]
        if found:
            source, target = map(list, zip(*found, strict=True))
            x[target] = vectors[source]
            seen[target] = True
    if x is None or not seen.all():
        n = int((~seen).sum())
        raise InputError(f"{embed.path}: no embedding for {n} responses; run `rmlab embed` again")
    return x


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    """A column of fixed-size lists as [n, d]; flatten() minds the offset of a slice, values would not."""
    array = column.combine_chunks()
    return array.flatten().to_numpy().reshape(-1, array.type.list_size)
