"""The heads that an evaluation judges, by the embeddings they score, and the ceiling among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from rmlab.artifacts.artifact import Artifact
from rmlab.heads.base import RewardHead
from rmlab.heads.load import load_head
from rmlab.stages.base import Job
from rmlab.stages.controls import REGRESSION
from rmlab.stages.cuts import Cut, Cuts
from rmlab.stages.responses import Responses
from rmlab.stages.scoring import (
    Example,
    Scores,
    examples_of,
    is_quick,
    quick_forms,
    regression_on_golden,
    score_all,
)
from rmlab.stages.survey import Survey
from rmlab.stages.vectors import StreamedVectors

Advance = Callable[[int], None]


class Heads:
    """embed: the artifacts by fingerprint; each is gone through once for all its heads."""

    def __init__(self, job: Job) -> None:
        self.embed: dict[str, Artifact] = {e.manifest.fingerprint: e for e in job.several("embed").values()}
        self._heads: dict[str, dict[str, RewardHead]] = {key: {} for key in self.embed}
        for name, artifact in job.several("fit_rm").items():
            key = job.inputs[f"embed:{name}"].manifest.fingerprint
            self._heads[key][name] = load_head(artifact.path / "head")
        self._names = [*job.several("fit_rm"), REGRESSION]

    def make_quick(self, cuts: Cuts, survey: Survey, judged: np.ndarray) -> list[str]:
        """Tried on the cut with the most responses to judge -> the heads that took such a form."""
        cut = cuts.all[int(np.argmax(survey.n_responses(judged)))]
        responses = cuts.responses(cut)
        wanted = survey.of_rows(judged, cut, responses)
        for key, heads in self._heads.items():
            self._heads[key] = quick_forms(heads, StreamedVectors(cut.embed[key], responses.ids), wanted)
        return [name for heads in self._heads.values() for name, head in heads.items() if is_quick(head)]

    def add_ceiling(self, cuts: Cuts, survey: Survey, fitted: np.ndarray, advance: Advance) -> None:
        """One more pass over the first embeddings."""
        first = next(iter(self.embed))
        self._heads[first][REGRESSION] = regression_on_golden(_examples(cuts, survey, fitted, first), advance)

    def scores(
        self, cut: Cut, responses: Responses, wanted: np.ndarray, pairs: np.ndarray, advance: Advance
    ) -> dict[str, Scores]:
        """pairs: the rows whose scores as fitted are wanted."""
        scores: dict[str, Scores] = {}
        for key, heads in self._heads.items():
            vectors = StreamedVectors(cut.embed[key], responses.ids)
            scores |= score_all(heads, vectors, wanted, advance, raw_of=pairs)
        return {name: scores[name] for name in self._names}


def _examples(cuts: Cuts, survey: Survey, fitted: np.ndarray, key: str) -> Iterator[Example]:
    for cut, responses in cuts:
        vectors = StreamedVectors(cut.embed[key], responses.ids)
        yield from examples_of(vectors, responses.golden, survey.of_rows(fitted, cut, responses))
