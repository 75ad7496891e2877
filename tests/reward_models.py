"""Reward models made on the spot: a head over a small random language model, without a run of the pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rmlab import RewardModel
from rmlab.heads.fitted.base import Standardiser
from rmlab.heads.fitted.linear import LinearHead
from rmlab.models.bundled.random_tiny import write_random_model
from rmlab.models.text.rendering import template_hash
from rmlab.models.weights import find_model
from rmlab.reward.origin import Origin

EMBEDDER = {
    "_name_": "transformers",
    "revision": None,
    "template": None,
    "layer": -1,
    "pooling": "end",
    "max_tokens": None,
    "storage": "float32",
}


def linear_head(d: int, seed: int = 0) -> LinearHead:
    """A head with another mean, spread and weight for each feature."""
    rng = np.random.default_rng(seed)
    scaled = Standardiser(rng.normal(size=d), rng.uniform(0.3, 3, d))
    head = LinearHead(weight=rng.normal(size=d), intercept=0.7, standardiser=scaled)
    return head.normalised(rng.normal(size=(500, d)))


def small_model(folder: Path, tokenizer: Any, seed: int = 0, **changes: Any) -> Path:
    """A two-layer Llama of random weights with this tokenizer; the tokenizer's pad token is not the model's."""
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}
    # initial weights of a usual size would give nearly the same states for all texts
    settings = {"vocab_size": len(tokenizer), "initializer_range": 0.2} | ids | changes
    write_random_model(folder, seed, **settings)
    tokenizer.save_pretrained(folder)
    return folder


def reward_model(
    folder: Path, template: str = "chat", head: Any = None, d: int = 32, **embedder: Any
) -> RewardModel:
    """The reward model of a head over the model of width d in a folder. embedder: changes of its settings."""
    from rmlab.models.compute import Compute

    tokenizer = Compute().load_tokenizer(folder)
    origin = Origin(
        embedder=EMBEDDER | embedder,
        template=template,
        dtype="float32",
        model=str(folder),
        identity=find_model(str(folder)).identity,
        own_model=False,
        template_hash=template_hash(template, tokenizer),
        d=d,
        files={},
    )
    return RewardModel(head or linear_head(d), origin, {"temperature": None}, str(folder))
