"""Exact log-probabilities of a few given answers to many questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmlab.errors import InputError
from rmlab.halving import Halving

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class AnswerLogprobs:
    """answers: token ids of each. As few passes as there are ways to begin an answer: one if all are single
    tokens, and one for 1 to 10 even where 10 is two tokens."""

    model: Any
    pad: int
    answers: Sequence[Tokens]
    halving: Halving

    def __post_init__(self) -> None:
        if len(set(self.answers)) != len(self.answers):
            raise InputError("two answers of the judge have the same tokens; use words that differ")

    def __call__(self, questions: Sequence[Sequence[int]]) -> np.ndarray:
        """[n, answers] float64: log of the probability that the answer is this and no longer one."""
        found = np.empty((len(questions), len(self.answers)))
        order = sorted(range(len(questions)), key=lambda i: len(questions[i]))

        def run(batch: list[int]) -> np.ndarray:
            return self._whole([questions[i] for i in batch])

        for batch, whole in self.halving.batches(order, run):
            found[batch] = self._exclusive(whole)
        return found

    def _whole(self, questions: list[Sequence[int]]) -> np.ndarray:
        """log P(answer tokens | question), by the chain rule."""
        steps: dict[Tokens, np.ndarray] = {}
        for beginning in self._beginnings():
            logprobs = self._forward([[*q, *beginning] for q in questions], len(beginning) + 1)
            for k in range(len(beginning) + 1):
                for token in {a[k] for a in self.answers if len(a) > k and a[:k] == beginning[:k]}:
                    steps[(*beginning[:k], token)] = logprobs[:, k, token].double().cpu().numpy()
        return np.stack([sum(steps[a[: k + 1]] for k in range(len(a))) for a in self.answers], axis=1)

    def _beginnings(self) -> list[Tokens]:
        """Answers without their last token, but for those that another one of these goes on from."""
        stems = {a[:-1] for a in self.answers}
        return sorted(s for s in stems if not any(t != s and t[: len(s)] == s for t in stems))

    def _exclusive(self, whole: np.ndarray) -> np.ndarray:
        """Takes from each answer the share that goes on to a longer one, the longest first."""
        found = whole.copy()
        for i in sorted(range(len(self.answers)), key=lambda i: -len(self.answers[i])):
            a = self.answers[i]
            longer = [j for j, b in enumerate(self.answers) if len(b) > len(a) and b[: len(a)] == a]
            if longer:
                share = np.exp(found[:, longer] - whole[:, [i]]).sum(axis=1)
                with np.errstate(divide="ignore"):  # nothing is left: log 0
                    found[:, i] = whole[:, i] + np.log1p(-np.minimum(share, 1.0))
        return found

    def _forward(self, rows: list[list[int]], keep: int) -> Any:
        """[n, keep, vocabulary] float32 log-probabilities after each of the last positions."""
        import torch

        from rmlab.networks.padding import pad_left

        ids, mask = pad_left(rows, self.pad, self.model.device)
        with torch.inference_mode():
            output = self.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0),
                use_cache=False,
                logits_to_keep=keep,
            )
            return output.logits[:, -keep:].float().log_softmax(dim=-1)
