"""A golden reward by a Hugging Face sequence classifier with one label, whose logit is the score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np

from rmlab.config.settings import TemplateName
from rmlab.errors import InputError
from rmlab.goldens.base import Scorer
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange, template_hash
from rmlab.models.text.tokens import Encoded, context_length, encode_all, end_tokens
from rmlab.models.weights import find_model


@dataclass(frozen=True)
class SequenceClassifier:
    """Scores by the logit of a classifier, such as a reward model.

    batch_tokens: the size of a batch in tokens, with padding; null: 512 on a CPU (1,024 in bfloat16), 65,536
    on a GPU. dtype null: the experiment's.
    """

    name: ClassVar[str] = "sequence_classifier"
    runs_model: ClassVar[bool] = True

    model: str = field(metadata={"model": True})
    revision: str | None = None
    template: TemplateName = "chat"
    max_tokens: int | None = None
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    batch_tokens: int | None = field(default=None, metadata={"runtime": True})

    def open(self, compute: Compute) -> Scorer:
        from transformers import AutoModelForSequenceClassification

        folder = find_model(self.model, self.revision, compute.trust_remote_code).folder()
        compute = replace(compute, dtype=self.dtype or compute.dtype)
        with compute.loaded(AutoModelForSequenceClassification, folder) as (model, tokenizer):
            if model.config.num_labels != 1:
                raise InputError(
                    f"golden model {self.model} has {model.config.num_labels} labels; a reward model has one"
                )
            return _ClassifierScorer(model, tokenizer, self)


class _ClassifierScorer:
    """The opened classifier. counts: texts that were cut to its context, until they are taken."""

    def __init__(self, model: Any, tokenizer: Any, how: SequenceClassifier) -> None:
        from rmlab.models.decoding.text_reader import ClassifierReader

        self.tokenizer, self.template = tokenizer, how.template
        self.template_hash = template_hash(how.template, tokenizer)
        self.end = end_tokens(tokenizer)
        self.limit = min(how.max_tokens or 10**9, context_length(model.config, tokenizer)) - len(self.end)
        self.reader = ClassifierReader(model, tokenizer.pad_token_id, how.batch_tokens)
        self.counts: Counter[str] = Counter()

    def __call__(self, exchanges: Sequence[Exchange]) -> list[float]:
        encoded = encode_all(exchanges, self.template, self.tokenizer, self.limit, closing=True)
        scores = np.empty(len(encoded))
        for numbers, found in self.reader.score([Encoded(e.prompt, e.response + self.end) for e in encoded]):
            scores[numbers] = found
        self.counts["truncated"] += sum(
            e.truncated for e in encoded
        )  # counted at the end, since rows may be tried again
        return scores.tolist()
