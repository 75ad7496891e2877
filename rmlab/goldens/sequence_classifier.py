"""Any Hugging Face sequence classifier with one label: its logit is the score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rmlab.compute import Compute
from rmlab.errors import InputError
from rmlab.goldens.base import Scorer
from rmlab.models import find_model
from rmlab.settings import TemplateName
from rmlab.text import Exchange, context_length, encode, end_tokens


@dataclass(frozen=True)
class SequenceClassifier:
    model: str = field(metadata={"model": True})
    revision: str | None = None
    template: TemplateName = "chat"
    max_tokens: int | None = None
    batch_size: int = field(default=32, metadata={"runtime": True})

    def open(self, compute: Compute) -> Scorer:
        from transformers import AutoModelForSequenceClassification

        folder = find_model(self.model, self.revision, compute.trust_remote_code).folder()
        tokenizer = compute.load_tokenizer(folder)
        model = compute.load_model(AutoModelForSequenceClassification, folder)
        if model.config.num_labels != 1:
            raise InputError(
                f"golden model {self.model} has {model.config.num_labels} labels; a reward model has one"
            )
        model.config.pad_token_id = tokenizer.pad_token_id
        end = end_tokens(tokenizer)
        limit = min(self.max_tokens or 10**9, context_length(model.config, tokenizer)) - len(end)

        def score(exchanges: Sequence[Exchange]) -> list[float]:
            rows = [encode(e, self.template, tokenizer, limit, closing=True) for e in exchanges]
            return _score_batches(model, [r.prompt + r.response + end for r in rows], self.batch_size)

        return score


def _score_batches(model: Any, rows: list[list[int]], batch_size: int) -> list[float]:
    """Batches of like length; the last token is found by position, whatever the pad token is."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    scores = [0.0] * len(rows)
    for start in range(0, len(rows), batch_size):
        batch = order[start : start + batch_size]
        for i, value in zip(batch, _score(model, [rows[i] for i in batch]), strict=True):
            scores[i] = value
    return scores


def _score(model: Any, rows: list[list[int]]) -> list[float]:
    import torch

    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), model.config.pad_token_id, device=model.device)
    mask = torch.zeros_like(ids)
    for k, row in enumerate(rows):
        ids[k, : len(row)] = torch.tensor(row, device=model.device)
        mask[k, : len(row)] = 1
    with torch.inference_mode():
        return _logits(model, ids, mask).float().tolist()


def _logits(model: Any, ids: Any, mask: Any) -> Any:
    """[n] scores. Decoders pool the last token that differs from pad, which is wrong where a text
    holds pad itself (pad = eos), so their head is applied at the last real position instead."""
    import torch

    head = getattr(model, "score", None)
    base = getattr(model, model.base_model_prefix, None)
    if head is None or base is None:
        return model(input_ids=ids, attention_mask=mask).logits[:, 0]
    states = base(input_ids=ids, attention_mask=mask).last_hidden_state
    last = mask.sum(dim=1) - 1
    return head(states[torch.arange(len(ids), device=ids.device), last])[:, 0]
