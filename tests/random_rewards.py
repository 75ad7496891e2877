"""Reward models of random weights, which need no fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rmlab.embedders.hashing import HashingEmbedder
from rmlab.embedders.transformers import TransformersEmbedder
from rmlab.heads.fitted.base import Standardiser
from rmlab.heads.fitted.centred import CentredHead
from rmlab.heads.fitted.linear import LinearHead
from rmlab.models.compute import Compute
from rmlab.models.weights import find_model
from rmlab.reward.model import RewardModel
from rmlab.reward.origin import Origin


def linear(d: int, seed: int = 0) -> LinearHead:
    rng = np.random.default_rng(seed)
    return LinearHead(
        weight=rng.normal(size=d), intercept=0.5, standardiser=Standardiser(np.zeros(d), np.ones(d)), gain=0.7
    )


def on_hashes(centred: bool = False) -> RewardModel:
    """A head on hashed words of the response."""
    component = {"_target_": f"{HashingEmbedder.__module__}.HashingEmbedder"}
    origin = Origin(component, "plain", "float32", "", "", False, "hashing", 64, {})
    return RewardModel(CentredHead(linear(64)) if centred else linear(64), origin)


def on_model(
    folder: Path, pooling: str, template: str = "plain", layer: int = -1, max_tokens: int = 200
) -> RewardModel:
    """A head on the states of a transformer."""
    how = {"model": str(folder), "pooling": pooling, "layer": layer, "max_tokens": max_tokens}
    opened = TransformersEmbedder(**how).open("", template, Compute("float32", "cpu", False))
    component = {"_target_": f"{TransformersEmbedder.__module__}.TransformersEmbedder", **how}
    identity = find_model(str(folder)).identity
    d, used = opened.dimension, opened.template_hash
    origin = Origin(component, template, "float32", str(folder), identity, True, used, d, {})
    return RewardModel(linear(d), origin, device="cpu")
