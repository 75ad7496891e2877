"""A head of random weights on SmolLM2, and texts of the shipped set, for the benchmark of `rmlab serve`."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from serve_load import opened

from rmlab.embedders.transformers import TransformersEmbedder
from rmlab.heads.fitted.base import Standardiser
from rmlab.heads.fitted.linear import LinearHead
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange
from rmlab.models.weights import find_model
from rmlab.reward.model import RewardModel
from rmlab.reward.origin import Origin

SET = Path(__file__).parents[2] / "data" / "released" / "openings-smollm2"
MODEL = "smollm2-135m-q4"
EACH = 8  # responses to a prompt, which are one request


class Real:
    """A saved reward model in a folder, the texts, and their embedder in this process."""

    def __init__(self, folder: Path, prompts: int) -> None:
        self.folder, self.texts = folder, list(read_texts(prompts))
        component = {"_target_": "rmlab.embedders.transformers.TransformersEmbedder", "model": MODEL}
        self.embedder = TransformersEmbedder(MODEL).open(MODEL, "plain", Compute("float32", "cpu", False))
        d = self.embedder.dimension
        weight = np.random.default_rng(0).normal(size=d) / d**0.5
        standardiser = Standardiser(np.zeros(d), np.ones(d))
        head = LinearHead(weight=weight, intercept=0.0, standardiser=standardiser)
        identity, used = find_model(MODEL).identity, self.embedder.template_hash
        origin = Origin(component, "plain", "float32", MODEL, identity, True, used, d, {})
        self.model = RewardModel(head, origin)
        self.model.save(folder)
        self.tokens = int(self.embedder.embed(self.texts, lambda rows, tokens: None).n_tokens.sum())

    def embed(self) -> float:
        """The seconds in which the embedder embeds all texts."""
        began = time.perf_counter()
        self.embedder.embed(self.texts, lambda rows, tokens: None)
        return time.perf_counter() - began

    async def through_http(self, port: int) -> float:
        """The seconds in which a server scores them, by requests of a prompt each that arrive at once."""
        groups = [self.texts[at : at + EACH] for at in range(0, len(self.texts), EACH)]
        connections = await opened(port, len(groups))
        began = time.perf_counter()
        bodies = [{"prompts": [e.messages for e in g], "responses": [e.response for e in g]} for g in groups]
        asked = (one.ask(body) for one, body in zip(connections, bodies, strict=True))
        replies = await asyncio.gather(*asked)
        taken = time.perf_counter() - began
        tokens = sum(sum(reply["n_tokens"]) for _, reply, _ in replies)
        if tokens != self.tokens:
            raise SystemExit(f"embed counts {self.tokens} tokens, the server {tokens}")
        return taken


def read_texts(prompts: int) -> list[Exchange]:
    """Responses to so many prompts of the shipped set."""
    messages = {r["prompt_id"]: r["messages"] for r in pq.read_table(SET / "prompts.parquet").to_pylist()}
    found: dict[str, list[Exchange]] = {}
    for row in pq.read_table(SET / "responses-base.parquet").to_pylist():
        name = row["prompt_id"]
        some = found.setdefault(name, [])
        if row["text"].strip() and len(some) < EACH:
            some.append(Exchange(name, row["response_id"], messages[name], row["text"]))
    whole = [some for some in found.values() if len(some) == EACH]
    return [text for some in whole[:prompts] for text in some]
