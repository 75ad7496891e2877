"""A made-up file of preference pairs, which the tests of held-out accuracy share."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

NICE, DULL = ("thanks", "gladly", "kind", "welcome"), ("no", "never", "bad", "stop")
SMALL_PAIRS = (
    "experiment=human_preferences",
    "embedder=hashing",
    "crossval.folds=3",
    "evaluation.resamples=100",
    "arms=['head=linear loss=bradley_terry','head=mlp loss=classification']",
)
TIES = 5


def pair_rows(n: int = 90, noise: float = 0.2, seed: int = 0) -> list[dict]:
    """n pairs of answers, in groups of three prompts; the kinder one is preferred, mostly; TIES are ties."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        better, worse = (" ".join(rng.choice(words, 6)) for words in (NICE, DULL))
        scores = (0, 1) if rng.random() < noise else (1, 0)
        shared = {"prompt_id": f"p{i}", "group": f"dialogue {i // 3}", "prompt": f"question {i}"}
        for k, (text, score) in enumerate(zip((better, worse), (1, 1) if i < TIES else scores, strict=True)):
            answer = {"response_id": f"p{i}-{k}", "response": f"{text} {i}", "score": score}
            rows.append(shared | answer)
    return rows


def write_rows(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
