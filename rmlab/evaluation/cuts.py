"""Responses in cuts of whole prompts, one after the other, where all together would take too much memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from rmlab.responses.table import Responses, read_scored
from rmlab.responses.vectors import StreamedVectors
from rmlab.storage.artifact import Artifact

AT_MOST = 2**19  # responses of a cut, unless one part has more


@dataclass(frozen=True, eq=False)
class Cut:
    """Consecutive parts of a sample and the same of what was made of it; embed: by fingerprint.
    number: from 0, of the cut."""

    number: int
    parts: range
    sample: Artifact
    annotate: Artifact
    embed: dict[str, Artifact]

    def of_parts(self, number: int, parts: range) -> Cut:
        some = slice(parts.start, parts.stop)
        embed = {key: artifact.of_parts(some) for key, artifact in self.embed.items()}
        return Cut(number, parts, self.sample.of_parts(some), self.annotate.of_parts(some), embed)


class Cuts:
    """The cuts, and the train and test responses of each: no prompt has responses in two of them.

    They are read anew each time that they are asked for, unless there is only one cut.
    """

    def __init__(self, sample: Artifact, annotate: Artifact, embed: Mapping[str, Artifact]) -> None:
        whole = Cut(0, range(len(sample.parts)), sample, annotate, dict(embed))
        self.all = _cut(whole)
        self.rows = sum(sample.part_rows)
        self._only: Responses | None = None
        self._vectors: dict[str, StreamedVectors] = {}

    def responses(self, cut: Cut) -> Responses:
        if self._only is not None:
            return self._only
        found = read_scored(cut.sample, cut.annotate, ["train", "test"])
        self._only = found if len(self.all) == 1 else None
        return found

    def vectors(self, key: str, cut: Cut, responses: Responses) -> StreamedVectors:
        """The embeddings of a cut, by the fingerprint of the artifact."""
        found = self._vectors.get(key) or StreamedVectors(cut.embed[key], responses.ids)
        if len(self.all) == 1:
            self._vectors[key] = found
        return found


def _cut(whole: Cut) -> list[Cut]:
    """All in one where the parts of the artifacts are not those of each other, or share prompts."""
    rows = whole.sample.part_rows
    if any(made.part_rows != rows for made in (whole.annotate, *whole.embed.values())):
        return [whole]
    ranges = _ranges(rows)
    cuts = [whole.of_parts(number, parts) for number, parts in enumerate(ranges)]
    return cuts if len(cuts) > 1 and _share_no_prompt(cuts) else [whole]


def _ranges(rows: Sequence[int]) -> list[range]:
    found, first, n = [], 0, 0
    for k, here in enumerate(rows):
        if n and n + here > AT_MOST:
            found.append(range(first, k))
            first, n = k, 0
        n += here
    return [*found, range(first, len(rows))]


def _share_no_prompt(cuts: Sequence[Cut]) -> bool:
    names = [pc.unique(cut.sample.read(columns=["prompt_id"])["prompt_id"]) for cut in cuts]
    return len(pc.unique(pa.chunked_array(names))) == sum(map(len, names))
