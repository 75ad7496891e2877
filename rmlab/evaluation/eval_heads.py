"""The heads that an evaluation judges, by the embeddings they score, and the ceiling among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from rmlab.evaluation.controls import REGRESSION
from rmlab.evaluation.cuts import Cut, Cuts
from rmlab.evaluation.score import (
    SAMPLE,
    WORTH_TRYING,
    Example,
    Scores,
    examples_of,
    is_quick,
    quickened,
    regression_on_golden,
    score_all,
)
from rmlab.evaluation.survey import Survey
from rmlab.heads.base import RewardHead
from rmlab.heads.fitted.load import load_head
from rmlab.pipeline.job import Job
from rmlab.responses.vectors import PLACES, StreamedVectors, vector_type
from rmlab.storage.artifact import Artifact

Advance = Callable[[int], None]


class Heads:
    """embed: the artifacts by fingerprint; each is gone through once for all its heads."""

    def __init__(self, job: Job) -> None:
        self.embed: dict[str, Artifact] = {e.manifest.fingerprint: e for e in job.several("embed").values()}
        for artifact in self.embed.values():
            vector_type(artifact)  # parts that do not go together are refused before anything is read
        self._heads: dict[str, dict[str, RewardHead]] = {key: {} for key in self.embed}
        for name, artifact in job.several("fit_rm").items():
            key = job.inputs[f"embed:{name}"].manifest.fingerprint
            self._heads[key][name] = load_head(artifact.path / "head")
        self.temperatures = {
            name: head.temperature for heads in self._heads.values() for name, head in heads.items()
        }
        self._names = [*job.several("fit_rm"), REGRESSION]

    def make_quick(self, cuts: Cuts, survey: Survey, judged: np.ndarray) -> list[str]:
        """Where there is much to score -> the heads that took a quick form. judged: [P] bool."""
        if survey.size[judged].sum() < WORTH_TRYING:
            return []
        some = np.flatnonzero(survey.n_responses(judged))
        some = some[np.unique(np.linspace(0, len(some) - 1, PLACES).astype(int))]
        samples = [self._sample(cuts, cuts.all[k], survey, judged, SAMPLE // len(some)) for k in some]
        for key, heads in self._heads.items():
            sample = np.concatenate([of[key] for of in samples])
            self._heads[key] = {name: quickened(head, sample) for name, head in heads.items()}
        return [name for heads in self._heads.values() for name, head in heads.items() if is_quick(head)]

    def _sample(
        self, cuts: Cuts, cut: Cut, survey: Survey, judged: np.ndarray, n: int
    ) -> dict[str, np.ndarray]:
        responses = cuts.responses(cut)
        wanted = survey.of_rows(judged, cut, responses)
        return {key: cuts.vectors(key, cut, responses).sample(wanted, n) for key in self.embed}

    def add_ceiling(self, cuts: Cuts, survey: Survey, fitted: np.ndarray, advance: Advance) -> None:
        """One more pass over the first embeddings. fitted: [P] bool."""
        first = next(iter(self.embed))
        self._heads[first][REGRESSION] = regression_on_golden(_examples(cuts, survey, fitted, first), advance)

    def scores(
        self,
        vectors: Mapping[str, StreamedVectors],
        wanted: np.ndarray,
        pairs: np.ndarray,
        group: np.ndarray,
        advance: Advance,
    ) -> dict[str, Scores]:
        """pairs: the rows whose scores as fitted are wanted; group: [m] the prompt of each response."""
        scores: dict[str, Scores] = {}
        for key, heads in self._heads.items():
            scores |= score_all(heads, vectors[key], wanted, advance, raw_of=pairs, group=group)
        return {name: scores[name] for name in self._names}


def _examples(cuts: Cuts, survey: Survey, fitted: np.ndarray, key: str) -> Iterator[Example]:
    for cut in cuts.all:
        responses = cuts.responses(cut)
        wanted = survey.of_rows(fitted, cut, responses)
        yield from examples_of(cuts.vectors(key, cut, responses), responses.golden, wanted)
        del responses  # before the next are read
