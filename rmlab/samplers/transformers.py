"""Sampling with transformers: one prefill a prompt, shared by its samples; finished rows leave the batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rmlab.compute import Compute
from rmlab.errors import InputError
from rmlab.samplers.base import OpenSampler, Sample, Task, Tick, cut_at_stop, sample_rng
from rmlab.settings import Sampling, TemplateName
from rmlab.text import Message, context_length, cut_prompt, encode_prompt, render, template_hash


@dataclass(frozen=True)
class TransformersSampler:
    batch_size: int = field(default=128, metadata={"runtime": True})
    needs_model = True

    def open(self, folder: Path | None, template: TemplateName, compute: Compute) -> OpenSampler:
        from transformers import AutoModelForCausalLM

        if folder is None:
            raise InputError("sampler=transformers needs a model; give model=...")
        tokenizer = compute.load_tokenizer(folder)
        model = compute.load_model(AutoModelForCausalLM, folder)
        return _Session(model, tokenizer, template, self.batch_size)


@dataclass
class _Row:
    """One sample in the making."""

    task: int
    uniforms: np.ndarray
    tokens: list[int] = field(default_factory=list)
    logprob: float = 0.0


class _Session:
    def __init__(self, model: Any, tokenizer: Any, template: TemplateName, batch_size: int) -> None:
        self.model, self.tokenizer, self.template = model, tokenizer, template
        self.batch_size = batch_size
        self.context = context_length(model.config, tokenizer)
        self.template_hash = template_hash(template, tokenizer)
        self.end_tokens = _end_tokens(model, tokenizer)

    def encode(self, messages: Sequence[Message]) -> list[int]:
        return encode_prompt(
            render(messages, "", self.template, self.tokenizer), self.template, self.tokenizer
        )

    def cut(self, tokens: list[int], limit: int) -> list[int]:
        return cut_prompt(tokens, limit, self.tokenizer)

    def generate(self, tasks: Sequence[Task], params: Sampling, seed: int, tick: Tick) -> list[list[Sample]]:
        samples: list[list[Sample]] = [[] for _ in tasks]
        for rows in self._batches(tasks, params, seed):
            self._decode(tasks, rows, params, tick)
            for row in rows:
                samples[row.task].append(self._finish(row, params))
        return samples

    def _batches(self, tasks: Sequence[Task], params: Sampling, seed: int) -> Iterator[list[_Row]]:
        """Rows of prompts of like length together; the samples of one prompt stay in order."""
        order = sorted(range(len(tasks)), key=lambda i: len(tasks[i].tokens))
        rows = [
            _Row(i, sample_rng(seed, tasks[i].prompt_id, k).random(params.max_new_tokens))
            for i in order
            for k in range(tasks[i].n)
        ]
        for start in range(0, len(rows), self.batch_size):
            yield rows[start : start + self.batch_size]

    def _decode(self, tasks: Sequence[Task], rows: list[_Row], params: Sampling, tick: Tick) -> None:
        import torch

        with torch.inference_mode():
            logits, cache, mask = self._prefill(tasks, rows)
            active = rows
            for step in range(params.max_new_tokens):
                tokens = self._choose(logits, active, step, params)
                tick(len(active))
                going = [i for i, row in enumerate(active) if not self._is_done(row, params)]
                if not going or step + 1 == params.max_new_tokens:
                    return
                if len(going) < len(active):
                    keep = torch.tensor(going, device=mask.device)
                    cache.batch_select_indices(keep)
                    mask, tokens = mask[keep], tokens[keep]
                    active = [active[i] for i in going]
                mask = torch.cat([mask, mask.new_ones(len(active), 1)], dim=1)
                output = self.model(
                    input_ids=tokens[:, None],
                    attention_mask=mask,
                    position_ids=mask.sum(dim=1, keepdim=True) - 1,
                    past_key_values=cache,
                    use_cache=True,
                )
                logits, cache = output.logits[:, -1], output.past_key_values

    def _prefill(self, tasks: Sequence[Task], rows: list[_Row]) -> tuple[Any, Any, Any]:
        """Logits, cache and mask for each row, from one pass over each distinct prompt."""
        import torch

        distinct = list(dict.fromkeys(row.task for row in rows))
        longest = max(len(tasks[i].tokens) for i in distinct)
        device = self.model.device
        ids = torch.full((len(distinct), longest), self.tokenizer.pad_token_id, device=device)
        mask = torch.zeros_like(ids)
        for k, i in enumerate(distinct):
            length = len(tasks[i].tokens)
            ids[k, longest - length :] = torch.tensor(tasks[i].tokens, device=device)
            mask[k, longest - length :] = 1
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0),
            use_cache=True,
            logits_to_keep=1,
        )
        place = {task: k for k, task in enumerate(distinct)}
        expand = torch.tensor([place[row.task] for row in rows], device=device)
        cache = output.past_key_values
        cache.batch_select_indices(expand)
        return output.logits[expand, -1], cache, mask[expand]

    def _choose(self, logits: Any, rows: list[_Row], step: int, params: Sampling) -> Any:
        """Draws a token for each row and books its untempered log-probability."""
        import torch

        from rmlab.samplers.choose import choose

        uniform = torch.tensor([row.uniforms[step] for row in rows], device=logits.device)
        tokens = choose(logits, uniform, params.temperature, params.top_p)
        chosen = logits.float().gather(1, tokens[:, None]).squeeze(1) - logits.float().logsumexp(dim=1)
        for row, token, logprob in zip(rows, tokens.tolist(), chosen.tolist(), strict=True):
            row.tokens.append(token)
            row.logprob += logprob
        return tokens

    def _is_done(self, row: _Row, params: Sampling) -> bool:
        if row.tokens[-1] in self.end_tokens:
            return True
        return bool(params.stop) and cut_at_stop(self._text(row.tokens), params.stop) is not None

    def _text(self, tokens: list[int]) -> str:
        return self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def _finish(self, row: _Row, params: Sampling) -> Sample:
        ended = row.tokens[-1] in self.end_tokens
        text = self._text(row.tokens[:-1] if ended else row.tokens)
        cut = cut_at_stop(text, params.stop)
        reason = "stop" if ended or cut is not None else "length"
        return Sample(text if cut is None else cut, len(row.tokens), reason, row.logprob)


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """All tokens that end a response: the model's and the tokenizer's."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    ends = configured if isinstance(configured, list) else [configured]
    return {int(t) for t in [*ends, tokenizer.eos_token_id] if t is not None}
