"""A golden reward by a language model as judge, from exact log-probabilities of its possible answers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from rmlab.config.settings import TemplateName
from rmlab.errors import InputError
from rmlab.goldens.base import Failed, Score, Scorer, conversation
from rmlab.models.compute import Compute
from rmlab.models.oom_retry import AdaptiveBatch
from rmlab.models.text.rendering import Exchange, template_hash
from rmlab.models.text.tokens import context_length, encode_all
from rmlab.models.weights import find_model

Tokens = tuple[int, ...]
_UNCUT = 10**9  # a limit of tokens that cuts nothing
_SHOWN = "Here is a message and a response to it.\n\nMessage:\n{prompt}\n\nResponse:\n{response}\n\n"
_QUESTIONS = {
    "probability": _SHOWN + "Is this a good response? Answer {good} or {bad}.",
    "log_odds": _SHOWN + "Is this a good response? Answer {good} or {bad}.",
    "grade": _SHOWN + "Grade this response from 1 (poor) to {grades} (excellent). Answer with the number.",
}


@dataclass(frozen=True)
class Judge:
    """Asks a model a question about prompt and response; P(a) is the model's probability of answer a.

    probability: P(good) / (P(good) + P(bad)). log_odds: log P(good) - log P(bad), the same order, unbounded.
    grade: sum_k k P(k) / sum_k P(k) over the grades 1 ... grades. P(a) is exact for answers of several
    tokens, the product over them; where one answer begins another, as 1 does 10, that of the shorter excludes
    the longer: P(1) (1 - P(0 | 1)). If a question is longer than the model's context, nothing is cut: its row
    fails.
    """

    name: ClassVar[str] = "judge"
    runs_model: ClassVar[bool] = True

    model: str = field(metadata={"model": True})
    revision: str | None = None
    score: Literal["probability", "log_odds", "grade"] = "probability"
    question: str | None = None
    good: str = "Yes"
    bad: str = "No"
    grades: int = 10
    template: TemplateName = "chat"
    max_tokens: int | None = None
    batch_size: int = field(default=32, metadata={"runtime": True})

    def __post_init__(self) -> None:
        if self.grades < 2:
            raise ValueError(f"grades is {self.grades}: use at least 2")
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}: use at least 1")
        if self.question is not None and "{response}" not in self.question:
            raise ValueError("question does not show the response: write {response} where it belongs")

    @property
    def answers(self) -> list[str]:
        """The answers whose probabilities are compared."""
        if self.score == "grade":
            return [str(k) for k in range(1, self.grades + 1)]
        return [self.good, self.bad]

    def ask(self, exchange: Exchange) -> str:
        """Returns the question to the model; braces within prompt and response are not replaced."""
        values = {
            "prompt": conversation(exchange.messages),
            "response": exchange.response,
            "good": self.good,
            "bad": self.bad,
            "grades": str(self.grades),
        }
        text = self.question or _QUESTIONS[self.score]
        return re.sub(r"\{(prompt|response|good|bad|grades)\}", lambda m: values[m.group(1)], text)

    def open(self, compute: Compute) -> Scorer:
        from transformers import AutoModelForCausalLM

        folder = find_model(self.model, self.revision, compute.trust_remote_code).folder()
        with compute.loaded(AutoModelForCausalLM, folder) as (model, tokenizer):
            answers = self._answer_tokens(tokenizer)
            batch = AdaptiveBatch(self.batch_size, "shorten the question")
            logprobs = AnswerLogprobs(model, tokenizer.pad_token_id, answers, batch)
            context = min(self.max_tokens or 10**9, context_length(model.config, tokenizer))
            return _JudgeScorer(self, tokenizer, logprobs, context - max(map(len, answers)) + 1)

    def question_tokens(self, exchanges: Sequence[Exchange], tokenizer: Any) -> list[list[int]]:
        """Returns the tokens of the questions."""
        asked = [[{"role": "user", "content": self.ask(e)}] for e in exchanges]
        rows = [Exchange("", "", messages, self.answers[0]) for messages in asked]
        return [e.prompt for e in encode_all(rows, self.template, tokenizer, _UNCUT)]

    def _answer_tokens(self, tokenizer: Any) -> list[tuple[int, ...]]:
        """Returns the tokens of the answers, as of responses, tokenised apart from the question."""
        rows = [Exchange("", "", [{"role": "user", "content": "?"}], a) for a in self.answers]
        found = [tuple(e.response) for e in encode_all(rows, self.template, tokenizer, _UNCUT)]
        if not all(found):
            raise InputError("an answer of the judge has no tokens; set golden.judge.good and bad to words")
        return found

    def value(self, logprobs: np.ndarray) -> np.ndarray:
        """Returns the scores, [n]. logprobs: [n, answers]."""
        if self.score == "log_odds":
            return logprobs[:, 0] - logprobs[:, 1]
        top = logprobs.max(axis=1, keepdims=True, initial=-np.inf)
        weights = np.exp(logprobs - top)
        share = weights / weights.sum(axis=1, keepdims=True)
        if self.score == "probability":
            return share[:, 0]
        return share @ np.arange(1, self.grades + 1)


class _JudgeScorer:
    """The opened judge. limit: tokens of the longest question that can be answered."""

    def __init__(self, judge: Judge, tokenizer: Any, logprobs: AnswerLogprobs, limit: int) -> None:
        self.judge, self.tokenizer, self.logprobs, self.limit = judge, tokenizer, logprobs, limit
        self.template_hash = template_hash(judge.template, tokenizer)
        self.counts: Counter[str] = Counter()  # nothing is cut

    def __call__(self, exchanges: Sequence[Exchange]) -> list[Score]:
        asked = self.judge.question_tokens(exchanges, self.tokenizer)
        fits = [i for i, ids in enumerate(asked) if len(ids) <= self.limit]
        found: list[Score] = [
            Failed(f"the question has {len(ids)} tokens, more than the {self.limit} that fit")
            for ids in asked
        ]
        values = self.judge.value(self.logprobs([asked[i] for i in fits])).tolist()
        for i, value in zip(fits, values, strict=True):
            found[i] = value
        return found


@dataclass(frozen=True)
class AnswerLogprobs:
    """Computes log-probabilities of answers, given by their token ids.

    It takes a pass for each distinct beginning of answers: one if all are single tokens, and one for 1 to 10
    even if 10 is two tokens.
    """

    model: Any
    pad: int
    answers: Sequence[Tokens]
    batch: AdaptiveBatch

    def __post_init__(self) -> None:
        if len(set(self.answers)) != len(self.answers):
            raise InputError("two answers of the judge have the same tokens; use words that differ")

    def __call__(self, questions: Sequence[Sequence[int]]) -> np.ndarray:
        """Returns the log-probability of exactly this answer, not a longer one, [n, answers] float64."""
        found = np.empty((len(questions), len(self.answers)))
        order = sorted(range(len(questions)), key=lambda i: len(questions[i]))

        def run(batch: list[int]) -> np.ndarray:
            return self._whole([questions[i] for i in batch])

        for batch, whole in self.batch.batches(order, run):
            found[batch] = self._exclusive(whole)
        return found

    def _whole(self, questions: list[Sequence[int]]) -> np.ndarray:
        """Returns log P(answer tokens | question) by the chain rule, [n, answers]."""
        steps: dict[Tokens, np.ndarray] = {}
        for beginning in self._beginnings():
            logprobs = self._forward([[*q, *beginning] for q in questions], len(beginning) + 1)
            for k in range(len(beginning) + 1):
                for token in {a[k] for a in self.answers if len(a) > k and a[:k] == beginning[:k]}:
                    steps[(*beginning[:k], token)] = logprobs[:, k, token].double().cpu().numpy()
        return np.stack([sum(steps[a[: k + 1]] for k in range(len(a))) for a in self.answers], axis=1)

    def _beginnings(self) -> list[Tokens]:
        """Returns the answers without their last token, less those that begin another one of them."""
        stems = {a[:-1] for a in self.answers}
        return sorted(s for s in stems if not any(t != s and t[: len(s)] == s for t in stems))

    def _exclusive(self, whole: np.ndarray) -> np.ndarray:
        """Subtracts from each answer the probability of longer ones that it begins, the longest first."""
        found = whole.copy()
        for i in sorted(range(len(self.answers)), key=lambda i: -len(self.answers[i])):
            a = self.answers[i]
            longer = [j for j, b in enumerate(self.answers) if len(b) > len(a) and b[: len(a)] == a]
            if longer:
                share = np.exp(found[:, longer] - whole[:, [i]]).sum(axis=1)
                with np.errstate(divide="ignore"):  # log 0 where nothing is left
                    found[:, i] = whole[:, i] + np.log1p(-np.minimum(share, 1.0))
        return found

    def _forward(self, rows: list[list[int]], keep: int) -> Any:
        """Returns log-probabilities after the last `keep` positions, [n, keep, vocabulary] float32."""
        import torch

        from rmlab.models.decoding.batches import pad_left

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
