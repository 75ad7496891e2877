"""The controls that stand in every table: random, oracle, length, copying, regression on golden scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rmlab.artifacts.artifact import Artifact
from rmlab.metrics.overlap import prompt_overlap
from rmlab.metrics.rank_correlation import spearman
from rmlab.stages.responses import Responses, positions

REGRESSION = "golden_regression"


@dataclass(frozen=True)
class Surface:
    """length: [m] words in each response; overlap: [m] share of them that the prompt had."""

    length: np.ndarray
    overlap: np.ndarray

    def take(self, rows: np.ndarray) -> Surface:
        return Surface(self.length[rows], self.overlap[rows])


@dataclass(frozen=True)
class Directions:
    """1 if more goes with a higher golden score within the train prompts, else -1."""

    length: float
    overlap: float


def control_scores(directions: Directions, judged: Responses, looks: Surface) -> dict[str, np.ndarray]:
    """Scores of each control but the regression; length and copying count in the direction that pays."""
    return {
        "random": np.zeros(len(judged)),
        "oracle": judged.golden,
        "length": directions.length * looks.length,
        "copying": directions.overlap * looks.overlap,
    }


def read_surface(prompts: Artifact, sample: Artifact, responses: Responses) -> Surface:
    questions = {
        row["prompt_id"]: " ".join(m["content"] for m in row["messages"])
        for row in prompts.read(columns=["prompt_id", "messages"]).to_pylist()
    }
    table = sample.read(columns=["response_id", "text"])
    rows = positions(pa.chunked_array([pa.array(responses.ids)]), table["response_id"], "sample: no text for")
    texts = table["text"].take(pa.array(rows))
    length, overlap = np.empty(len(responses)), np.empty(len(responses))
    for i, (prompt_id, text) in enumerate(zip(responses.prompt_ids, texts, strict=True)):
        words = text.as_py()
        length[i], overlap[i] = len(words.split()), prompt_overlap(questions[prompt_id], words)
    return Surface(length, overlap)


def directions(train: Responses, looks: Surface) -> Directions:
    return Directions(_direction(looks.length, train), _direction(looks.overlap, train))


def _direction(scores: np.ndarray, train: Responses) -> float:
    correlations = spearman(scores, train.golden, train.group)
    mean = np.nanmean(correlations) if not np.isnan(correlations).all() else 0.0
    return -1.0 if mean < 0 else 1.0
