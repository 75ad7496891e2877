"""Reads texts for their hidden states or a classifier's logit; each shared prompt is read once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from rmlab.models.decoding.batches import (
    by_length,
    by_prompt,
    by_response,
    consecutive,
    pad_right,
    split_by_sharing,
)
from rmlab.models.decoding.fused import fuse
from rmlab.models.decoding.layers import Layers, UsualLayers
from rmlab.models.decoding.products import lay_out_products
from rmlab.models.decoding.shared_prefix import SharedPrefix, attends_to_all
from rmlab.models.decoding.trials import agree, trial_tokens
from rmlab.models.oom_retry import AdaptiveBatch
from rmlab.models.text.tokens import Encoded

R = TypeVar("R")
Use = Callable[[list[Tensor], Tensor], R]
_CPU_BYTES = 2048  # tokens times bytes of a number: more do not fit the caches of the cores, and are slower
_GPU_TOKENS = 65536
_KEPT_TOKENS = 4096  # of prompts whose keys are kept at once; more responses at once need less padding
_PROMPTS, _RESPONSES = (12, 9), ((0, 7), (0, 3), (1, 5))  # of a trial: lengths; prompts and lengths


class TextReader:
    """Reads texts in batches. tokens: of a batch, with padding; None: by device; causal: by architecture."""

    def __init__(self, model: Any, pad: int, causal: bool, tokens: int | None, hint: str) -> None:
        self.model, self.pad = model, pad
        of_cpu = _CPU_BYTES // model.dtype.itemsize
        self.tokens = tokens or (_GPU_TOKENS if model.device.type == "cuda" else of_cpu)
        self.fits = AdaptiveBatch(10**9, hint)
        self.layers: Layers = UsualLayers(model)
        self.causal = causal and self._padding_is_unseen()
        self.shares = self.causal and self._sharing_agrees()
        self._fuse()

    def read(
        self, rows: Sequence[Encoded], layers: Sequence[int], use: Use[R]
    ) -> Iterator[tuple[list[int], R]]:
        """Yields (numbers of rows, result of `use`) for each batch, in any order of rows.

        use gets the states [n, t, d] of each layer, 0 the input embeddings and -1 the last, and the mask
        [n, t] of the response's tokens, or of the prompt's last token where the response is empty.
        """
        longest = max((len(r.prompt) + len(r.response) for r in rows), default=0)
        sees_all = self.causal and attends_to_all(self.model.config, longest)
        by = self.layers if sees_all else UsualLayers(self.model)
        alone, together = split_by_sharing(rows, self.shares and sees_all)

        @torch.inference_mode()
        def whole(part: list[int]) -> R:
            return use(*self._whole([rows[i] for i in part], layers, by))

        for batch in by_length(rows, alone, self.tokens):
            yield from self.fits.batches(batch, whole)
        for group in by_prompt(rows, together, max(self.tokens, _KEPT_TOKENS)):
            yield from self._read_group(rows, group, layers, use)

    def _read_group(
        self, rows: Sequence[Encoded], group: list[int], layers: Sequence[int], use: Use[R]
    ) -> Iterator[tuple[list[int], R]]:
        heads = list(dict.fromkeys(tuple(rows[i].prompt) for i in group))
        for part, prefix in self.fits.batches(heads, self._read_heads):
            place = {head: k for k, head in enumerate(part)}
            numbers = [i for i in group if tuple(rows[i].prompt) in place]
            yield from self._read_tails(rows, numbers, prefix, place, layers, use)

    def _read_tails(
        self,
        rows: Sequence[Encoded],
        numbers: list[int],
        prefix: SharedPrefix,
        place: dict[tuple[int, ...], int],
        layers: Sequence[int],
        use: Use[R],
    ) -> Iterator[tuple[list[int], R]]:
        @torch.inference_mode()
        def tails(part: list[int]) -> R:
            places = torch.tensor([place[tuple(rows[i].prompt)] for i in part])
            return use(*self._tails([rows[i] for i in part], prefix, places, layers))

        for batch in by_response(rows, numbers, self.tokens):
            yield from self.fits.batches(batch, tails)

    def _whole(self, rows: list[Encoded], layers: Sequence[int], by: Layers) -> tuple[list[Tensor], Tensor]:
        """Reads prompts and responses in one pass, padded on the right, which a causal model ignores."""
        ids, mask = pad_right([r.prompt + r.response for r in rows], self.pad, self.model.device)
        states = by.whole(ids, layers, None if self.causal or bool(mask.all()) else mask)
        starts = [len(r.prompt) - (0 if r.response else 1) for r in rows]
        before = torch.arange(ids.shape[1])[None, :] < torch.tensor(starts)[:, None]
        return states, mask.masked_fill(before.to(mask.device), 0)

    @torch.inference_mode()
    def _read_heads(self, prompts: Sequence[Sequence[int]]) -> SharedPrefix:
        """Reads the prompts without their last tokens, which are read with the responses."""
        caches = []
        for part in consecutive([len(p) for p in prompts], self.tokens):
            ids, _ = pad_right([p[:-1] for p in prompts[part]], self.pad, self.model.device)
            caches.append(self.layers.keys(ids))
        lengths = torch.tensor([len(p) - 1 for p in prompts], device=self.model.device)
        return SharedPrefix(caches, lengths)

    def _tails(
        self, rows: list[Encoded], prefix: SharedPrefix, places: Tensor, layers: Sequence[int]
    ) -> tuple[list[Tensor], Tensor]:
        """Reads the last token of each prompt and its response, after the rest of the prompt."""
        device = self.model.device
        tails, mask = pad_right([[r.prompt[-1], *r.response] for r in rows], self.pad, device)
        places = places.to(device)
        prefix.begin(places)
        positions = prefix.lengths[places][:, None] + torch.arange(tails.shape[1], device=device)
        states = self.layers.after(prefix, tails, positions, layers)
        mask[:, 0] = torch.tensor([0 if r.response else 1 for r in rows])
        return states, mask

    def _fuse(self) -> None:
        """Takes fused layers where the model's kind has them and they agree with its own."""
        if self.shares and (fused := fuse(self.model)):
            self.layers = fused
            if self._sharing_agrees():
                return
            self.layers = UsualLayers(self.model)
        lay_out_products(self.model)

    def _padding_is_unseen(self) -> bool:
        """Returns whether padding changes nothing; some models that are named causal look both ways."""
        self.causal = True

        def read(rows: list[Encoded]) -> Tensor:
            states, mask = self._whole(rows, [-1], self.layers)
            return pool(states[0], mask, "mean")

        rows = _trial(self.model)
        return agree(lambda: read(rows), lambda: torch.cat([read([row]) for row in rows]), self.model.dtype)

    def _sharing_agrees(self) -> bool:
        """Returns whether a few short texts have the same states as when read whole."""
        rows = _trial(self.model)
        if not attends_to_all(self.model.config, max(len(row.prompt + row.response) for row in rows)):
            return False
        prompts = [list(prompt) for prompt in dict.fromkeys(tuple(row.prompt) for row in rows)]

        def shared() -> Tensor:
            prefix = self._read_heads(prompts)
            places = torch.tensor([prompts.index(row.prompt) for row in rows])
            states, mask = self._tails(rows, prefix, places, [-1])
            return pool(states[0], mask, "mean")

        def whole() -> Tensor:
            states, mask = self._whole(rows, [-1], self.layers)
            return pool(states[0], mask, "mean")

        return agree(shared, whole, self.model.dtype)


def _trial(model: Any) -> list[Encoded]:
    """Returns a few texts, of which two share a prompt."""
    texts = trial_tokens(model, [*_PROMPTS, *(n for _, n in _RESPONSES)])
    responses = texts[len(_PROMPTS) :]
    return [Encoded(texts[k], text) for (k, _), text in zip(_RESPONSES, responses, strict=True)]


def pool(states: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """Pools states [n, t, d] over the mask [n, t], or takes its last position -> [n, d] float32."""
    if pooling == "mean":
        weights = mask.to(torch.float32)[:, :, None]
        return (states.float() * weights).sum(dim=1) / weights.sum(dim=1)
    return states[torch.arange(len(states), device=states.device), last_positions(mask)].float()


def last_positions(mask: Tensor) -> Tensor:
    """Returns the last position at which each row's mask is 1, [n]. mask: [n, t]."""
    return (mask * torch.arange(mask.shape[1], device=mask.device)).argmax(dim=1)


class ClassifierReader:
    """Reads the logits of a sequence classifier.

    transformers pools the last token that differs from pad in decoders, which is wrong if a text contains the
    pad token (pad = eos), so here their head is applied to the state of the last real token.
    """

    def __init__(self, model: Any, pad: int, tokens: int | None) -> None:
        self.head = getattr(model, "score", None)
        base = getattr(model, model.base_model_prefix, None)
        self.is_decoder = self.head is not None and base is not None
        read = base if self.is_decoder else _Classified(model)
        self.reader = TextReader(read, pad, self.is_decoder, tokens, "lower the golden reward's max_tokens")

    def score(self, rows: Sequence[Encoded]) -> Iterator[tuple[list[int], list[float]]]:
        """Yields (numbers of rows, their scores), batch after batch."""
        return self.reader.read(rows, [-1], self._logits)

    def _logits(self, states: list[Tensor], mask: Tensor) -> list[float]:
        if not self.is_decoder or self.head is None:
            return states[0][:, 0, 0].float().tolist()
        rows = torch.arange(len(mask), device=mask.device)
        return self.head(states[0][rows, last_positions(mask)])[:, 0].float().tolist()


class _Classified:
    """Wraps an encoder with a head of its own, whose logits [n, 1, 1] take the place of states."""

    def __init__(self, model: Any) -> None:
        self.model, self.device, self.dtype, self.modules = model, model.device, model.dtype, model.modules

    def __call__(self, **inputs: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutput

        inputs.pop("use_cache")
        return BaseModelOutput(last_hidden_state=self.model(**inputs).logits[:, None])
