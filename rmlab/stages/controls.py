"""The controls that stand in every table: random, oracle, length, copying, regression on golden scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rmlab.artifacts.artifact import Artifact
from rmlab.metrics.overlap import prompt_overlap
from rmlab.metrics.rank_correlation import spearman
from rmlab.stages.base import Job
from rmlab.stages.responses import Responses, positions, read_embeddings

CONTROLS = ("random", "oracle", "length", "copying", "golden_regression")


def control_scores(job: Job, train: Responses, judged: Responses, embed: Artifact) -> dict[str, np.ndarray]:
    """Scores of each control; length and copying count in the direction that pays on train prompts."""
    known, now = surface(job, train), surface(job, judged)
    return {
        "random": np.zeros(len(judged)),
        "oracle": judged.golden,
        "length": _direction(known.length, train) * now.length,
        "copying": _direction(known.overlap, train) * now.overlap,
        "golden_regression": _regression(
            read_embeddings(embed, train.ids), train.golden, read_embeddings(embed, judged.ids)
        ),
    }


@dataclass(frozen=True)
class Surface:
    """length: [m] words in each response; overlap: [m] share of them that the prompt had."""

    length: np.ndarray
    overlap: np.ndarray


def surface(job: Job, responses: Responses) -> Surface:
    prompts = {
        row["prompt_id"]: " ".join(m["content"] for m in row["messages"])
        for row in job.inputs["prompts"].read(columns=["prompt_id", "messages"]).to_pylist()
    }
    table = job.inputs["sample"].read(columns=["response_id", "text"])
    rows = positions(pa.chunked_array([pa.array(responses.ids)]), table["response_id"], "sample: no text for")
    texts = table["text"].take(pa.array(rows)).to_pylist()
    lengths = np.array([float(len(text.split())) for text in texts])
    overlap = [prompt_overlap(prompts[p], t) for p, t in zip(responses.prompt_ids, texts, strict=True)]
    return Surface(lengths, np.array(overlap))


def _direction(scores: np.ndarray, train: Responses) -> float:
    """1 if more goes with a higher golden score within the train prompts, else -1."""
    correlations = spearman(scores, train.golden, train.group)
    mean = np.nanmean(correlations) if not np.isnan(correlations).all() else 0.0
    return -1.0 if mean < 0 else 1.0


def _regression(x: np.ndarray, golden: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """Ridge regression on the golden scores themselves: the ceiling for a linear head."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(0, 6, 13)))
    return model.fit(x.astype(np.float64), golden).predict(judged.astype(np.float64))
