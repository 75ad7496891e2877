"""The logit of a sequence classifier at each text's last token, whatever the pad token is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from rmlab.networks.reader import Reader, last_positions
from rmlab.text import Encoded


class ClassifierReader:
    """Decoders pool the last token that differs from pad, which is wrong where a text holds pad itself
    (pad = eos), so their head is applied here to the state of the last real token.
    """

    def __init__(self, model: Any, pad: int, tokens: int | None) -> None:
        self.head = getattr(model, "score", None)
        base = getattr(model, model.base_model_prefix, None)
        self.is_decoder = self.head is not None and base is not None
        read = base if self.is_decoder else _Classified(model)
        self.reader = Reader(read, pad, self.is_decoder, tokens, "lower the golden reward's max_tokens")

    def score(self, rows: Sequence[Encoded]) -> Iterator[tuple[list[int], list[float]]]:
        """(numbers of rows, their scores), batch after batch."""
        return self.reader.read(rows, [-1], self._logits)

    def _logits(self, states: list[Tensor], mask: Tensor) -> list[float]:
        if not self.is_decoder or self.head is None:
            return states[0][:, 0, 0].float().tolist()
        rows = torch.arange(len(mask), device=mask.device)
        return self.head(states[0][rows, last_positions(mask)])[:, 0].float().tolist()


class _Classified:
    """An encoder with its own head: its logits [n, 1, 1] in place of states."""

    def __init__(self, model: Any) -> None:
        self.model, self.device = model, model.device

    def __call__(self, **inputs: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutput

        inputs.pop("use_cache")
        return BaseModelOutput(last_hidden_state=self.model(**inputs).logits[:, None])
