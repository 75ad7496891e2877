"""A reward model: a fitted head together with the embedder that it reads through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from rmlab.embedders.base import Embedded, OpenEmbedder, ReadsTokens, Tick
from rmlab.errors import ConfigError, InputError
from rmlab.heads.base import RewardHead
from rmlab.heads.fitted.base import NormalisedHead
from rmlab.heads.fitted.centred import CentredHead
from rmlab.logs.progress import Progress
from rmlab.models.text.rendering import Exchange, Message
from rmlab.models.text.tokens import Encoded
from rmlab.models.weights import Model
from rmlab.reward.origin import Origin
from rmlab.reward.scored import (
    ComparedResponses,
    Long,
    ScoredTexts,
    check_long,
    check_read,
    compared,
    warn_of_cut,
)
from rmlab.reward.texts import artifact_of, as_exchanges, folder_of_model, one_prompt, shape_of
from rmlab.storage.artifact import Artifact

TEXTS_AT_ONCE = 2048
MODEL_COPY = "model"  # beside a saved head
T = TypeVar("T")


@dataclass(frozen=True, eq=False, repr=False)
class RewardModel:
    """Scores responses to prompts. `RewardModel.from_artifact` and `RewardModel.load` make one.

    head: the fitted head; origin: that of the embeddings it was fitted on; facts: what is known of it: the
    settings and data of its fit, its metrics, and `temperature`, null if no comparisons were held out to fit
    it on; place: where it was read from; copy: the identity of a copy of its embedding model that lies there.
    """

    head: RewardHead
    origin: Origin
    facts: dict[str, Any] = field(default_factory=dict)
    place: str = ""
    copy: str = ""
    device: str = "auto"
    base_model: str | Path | None = None
    allow_modules: Sequence[str] = ()
    trust_remote_code: bool = False
    _opened: list[OpenEmbedder] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.allow_modules, str):
            raise ConfigError(f"allow_modules must be a list of modules, got the text {self.allow_modules}")
        if not isinstance(self.base_model, str | Path | None):
            raise ConfigError(f"base_model must be a name or a path, got {type(self.base_model).__name__}")

    @classmethod
    def from_artifact(cls, path: str | Path, **how: Any) -> RewardModel:
        """Reads the head of an artifact of `rmlab fit-rm`, artifacts/fit_rm/NAME. how: device, base_model,
        allow_modules, trust_remote_code, as for `load`."""
        from rmlab.reward.folder import read_artifact

        head, origin, facts = read_artifact(folder_of_model(path))
        return cls(head, origin, facts, str(path), **how)

    @classmethod
    def load(cls, folder: str | Path, **how: Any) -> RewardModel:
        """Reads a folder that `save` wrote, or the artifact of a fit.

        device: auto, cpu or cuda; base_model: where the embedding model lies now, if not where it was;
        allow_modules: modules of your own that the embedder is in; trust_remote_code: run a model's own code.
        """
        from rmlab.reward.folder import is_saved, read_folder

        place = folder_of_model(folder)
        if not is_saved(place):
            return cls.from_artifact(place, **how)
        head, origin, facts, copy = read_folder(place)
        return cls(head, origin, facts, str(folder), copy, **how)

    def save(self, folder: str | Path) -> None:
        """Writes the head and its record into a new folder; the embedding model stays where it is."""
        from rmlab.reward.folder import write_folder

        write_folder(folder_of_model(folder), self.head, self.origin, self.facts)

    def __repr__(self) -> str:
        of = " ".join(filter(None, (self.origin.name, self.origin.model)))
        return f"RewardModel({type(self.head).__name__} of {self.origin.d} values by {of}: {self.place})"

    @property
    def temperature(self) -> float | None:
        """The T of P(a is preferred to b) = sigma((raw_a - raw_b) / T); None if it was not fitted."""
        return self.facts.get("temperature")

    @property
    def embedder(self) -> OpenEmbedder:
        """The embedder, opened at first use."""
        if not self._opened:
            base, copy = self._base
            how = (self.device, base, self.allow_modules, self.trust_remote_code, copy)
            self._opened.append(self.origin.open(*how))
        return self._opened[0]

    def find_model(self) -> Model | None:
        """Finds the embedding model, which is not loaded; None for an embedder that reads none.

        Raises an error where texts cannot be embedded as they were.
        """
        base, copy = self._base
        return self.origin.find(base, self.trust_remote_code, copy)

    @property
    def _base(self) -> tuple[str | None, str]:
        """Where the embedding model lies, if not where it was, and the identity that a copy has there."""
        if self.base_model is not None:
            return str(self.base_model), ""
        return (str(folder_of_model(self.place) / MODEL_COPY), self.copy) if self.copy else (None, "")

    def score(
        self,
        prompts: Sequence[str | Sequence[Message]],
        responses: Sequence[str | Sequence[Message]],
        progress: bool = False,
        long: Long = "cut",
    ) -> np.ndarray:
        """Returns the reward of each response, [n]; see `read`."""
        return self.read(prompts, responses, progress, long).score

    def read(
        self,
        prompts: Sequence[str | Sequence[Message]],
        responses: Sequence[str | Sequence[Message]],
        progress: bool = False,
        long: Long = "cut",
    ) -> ScoredTexts:
        """Scores responses. prompts: [n] texts or lists of messages; responses: [n] texts, or the assistant's
        message in a list; progress: show it on a terminal.

        long: texts that are longer than the model reads lose the start of their prompt, with a warning; or
        are refused.
        """
        exchanges = as_exchanges(prompts, responses)
        shown = Progress("score", "texts", quiet=not progress)
        with shown:
            shown.start(len(exchanges))
            return self.score_exchanges(exchanges, shown.advance, long)

    def score_exchanges(
        self,
        exchanges: Sequence[Exchange],
        tick: Callable[[int, int], None],
        long: Long = "cut",
        named: Callable[[int], str] = "text {}".format,
    ) -> ScoredTexts:
        """Scores responses.

        tick: called with the rows and tokens just embedded; named: what errors call a text by its number.
        """
        return self._scored(exchanges, self.embedder.embed, tick, long, named)

    def score_tokens(
        self,
        rows: Sequence[Encoded],
        tick: Callable[[int, int], None] = lambda rows, tokens: None,
        long: Long = "cut",
        named: Callable[[int], str] = "text {}".format,
    ) -> ScoredTexts:
        """Scores texts that are tokens already, of a prompt and a response.

        With pooling=end the whole text may be given as the prompt.
        """
        if not rows:
            raise InputError("there is nothing to score; give at least one text")
        embedder = self.embedder
        if not isinstance(embedder, ReadsTokens):
            raise ConfigError(f"the embedder {self.origin.name} reads texts and no tokens; use score")
        if isinstance(self.head, CentredHead):
            raise ConfigError("this head was fitted with head.centre=prompt, so it needs prompts; use score")
        return self._scored(rows, embedder.embed_tokens, tick, long, named)

    def _scored(
        self,
        texts: Sequence[T],
        embed: Callable[[Sequence[T], Tick], Embedded],
        tick: Tick,
        long: Long,
        named: Callable[[int], str],
    ) -> ScoredTexts:
        """Embeds and scores texts, a block at a time."""
        centred = isinstance(self.head, CentredHead)
        found = []
        for at in range(0, len(texts), TEXTS_AT_ONCE):
            block = texts[at : at + TEXTS_AT_ONCE]
            check_long(long)
            done = embed(block, tick)
            check_read(done, long, lambda k, at=at: named(at + k + 1))  # type: ignore[misc]
            x = self._as_stored(done.vectors)
            found.append((x if centred else self.head.score_and_raw(x), done))
        score, raw = self._joined([scored for scored, _ in found], texts, centred)
        n_tokens, truncated = (
            np.concatenate([getattr(done, name) for _, done in found]) for name in ("n_tokens", "truncated")
        )
        warn_of_cut(truncated)
        return ScoredTexts(score, raw, n_tokens, truncated)

    def score_embeddings(
        self,
        embeddings: str | Path | Artifact | np.ndarray,
        origin: Origin | Artifact | str | Path | None = None,
    ) -> np.ndarray:
        """Returns the rewards of embeddings, [n].

        embeddings: an artifact of `rmlab embed`, all of whose rows are scored in their order; or an array
        [n, d], whose origin must be given: `model.origin` says that it was embedded as the head's own were.
        """
        if isinstance(self.head, CentredHead):
            raise ConfigError("this head was fitted with head.centre=prompt, so it needs prompts; use score")
        if not isinstance(embeddings, np.ndarray):
            artifact = artifact_of(embeddings, "embeddings must be a numpy array")
            self.origin.check(Origin.of(artifact), f"the embeddings in {artifact.path}")
            return self._score_artifact(artifact)
        if origin is None:
            raise ConfigError(
                "an array says nothing of where its embeddings come from; pass origin=model.origin if they "
                "were made as those that the head was fitted on, or the artifact that they are from"
            )
        if embeddings.ndim != 2 or embeddings.dtype.kind != "f":
            raise InputError(f"embeddings must be an array [n, d] of floats, got {shape_of(embeddings)}")
        self.origin.check(
            origin
            if isinstance(origin, Origin)
            else Origin.of(artifact_of(origin, "origin must be that of a model")),
            "the embeddings",
        )
        return self.head.score(embeddings)

    def rank(
        self,
        prompt: str | Sequence[Message],
        responses: Sequence[str | Sequence[Message]],
        long: Long = "cut",
    ) -> np.ndarray:
        """Returns the numbers of the responses to one prompt, the best first; equal scores in order."""
        scores = self.score(one_prompt(prompt, responses), responses, long=long)
        return np.argsort(-scores, kind="stable")

    def compare(
        self,
        prompt: str | Sequence[Message],
        a: str | Sequence[Message],
        b: str | Sequence[Message],
        long: Long = "cut",
    ) -> ComparedResponses:
        """Compares two responses to a prompt by the temperature that was fitted on validation comparisons."""
        if self.temperature is None:
            raise InputError(
                "this head has no temperature, as no comparisons were held out to fit it on, so its scores "
                "are no log-odds; fit it with comparisons.n_validation above 0, or use rank"
            )
        exchanges = as_exchanges([prompt, prompt], [a, b])
        check_long(long)
        done = self.embedder.embed(exchanges, lambda rows, tokens: None)
        check_read(done, long, lambda k: f"response {'ab'[k]}")
        warn_of_cut(done.truncated)
        return compared(self.head, self._as_stored(done.vectors), self.temperature)

    def _as_stored(self, vectors: np.ndarray) -> np.ndarray:
        """The vectors rounded as the head's own were when they were stored."""
        storage = self.origin.embedder.get("storage") or "float32"
        return vectors.astype(storage).astype(np.float32)

    def _joined(self, found: list[Any], texts: Sequence[Any], centred: bool) -> tuple[np.ndarray, np.ndarray]:
        """Rewards and scores as fitted of all blocks; a centred head scores all at once, by their prompts."""
        if not centred:
            score, raw = zip(*found, strict=True)
            return np.concatenate(score), np.concatenate(raw)
        assert isinstance(self.head, CentredHead)
        group = np.unique([e.prompt_id for e in texts], return_inverse=True)[1]
        if (np.bincount(group) == 1).any():
            raise InputError(
                "this head compares the responses to a prompt with each other (head.centre=prompt); give at "
                "least two responses to every prompt"
            )
        return self.head.score_and_raw(np.concatenate(found), group)

    def _score_artifact(self, artifact: Artifact) -> np.ndarray:
        from rmlab.responses.vectors import StreamedVectors

        assert isinstance(self.head, NormalisedHead)
        ids = artifact.read(columns=["response_id"])["response_id"].combine_chunks()
        scores = np.full(len(ids), np.nan)
        for rows, x in StreamedVectors(artifact, ids).blocks():
            scores[rows] = self.head.score(x)
        return scores
