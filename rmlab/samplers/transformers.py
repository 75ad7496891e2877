"""Sampling with transformers: prompts are read once for all samples, and finished rows leave the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from rmlab.config.settings import Sampling, TemplateName
from rmlab.errors import InputError
from rmlab.models.compute import Compute
from rmlab.models.oom_retry import AdaptiveBatch
from rmlab.models.text.tokens import context_length
from rmlab.samplers.base import OpenSampler, Sample, SamplingTask, Tick, TokenSession, cut_at_stop


@dataclass(frozen=True)
class TransformersSampler:
    """Samples by transformers.

    cache_gib: memory for keys, values and logits; null: 2 on a CPU, 40 % of a GPU's.
    """

    name: ClassVar[str] = "transformers"
    runs_model: ClassVar[bool] = True

    batch_size: int = field(default=256, metadata={"runtime": True})
    cache_gib: float | None = field(default=None, metadata={"runtime": True})
    needs_model = True

    def __post_init__(self) -> None:
        if self.batch_size < 1 or (self.cache_gib is not None and self.cache_gib <= 0):
            raise ValueError("batch_size and cache_gib must be above 0")

    def open(self, folder: Path | None, template: TemplateName, compute: Compute) -> OpenSampler:
        from transformers import AutoModelForCausalLM

        if folder is None:
            raise InputError("sampler=transformers needs a model; give model=...")
        with compute.loaded(AutoModelForCausalLM, folder) as (model, tokenizer):
            return SamplingSession(model, tokenizer, template, self)


@dataclass
class _Row:
    """A sample that is being generated. task: its index among the tasks."""

    task: int
    key: int  # of its random numbers
    tokens: list[int] = field(default_factory=list)
    logprob: float = 0.0
    near_ties: int = 0


class SamplingSession(TokenSession):
    """The opened sampler."""

    def __init__(self, model: Any, tokenizer: Any, template: TemplateName, how: TransformersSampler) -> None:
        from rmlab.models.decoding.decoder import fuse_model, may_share

        ends = getattr(model.generation_config, "eos_token_id", None)
        super().__init__(tokenizer, template, context_length(model.config, tokenizer), ends)
        self.model, self.how = model, how
        self.shares = may_share(model, tokenizer.pad_token_id)
        self.fused = fuse_model(model, tokenizer.pad_token_id)
        self.batch_size = how.batch_size  # lowered when memory runs out

    def generate(
        self, tasks: Sequence[SamplingTask], params: Sampling, seed: int, tick: Tick
    ) -> list[list[Sample]]:
        """Samples prompts of similar length together; the samples of a prompt stay in order."""
        from rmlab.models.oom_retry import rows_that_fit

        order = sorted((i for i, t in enumerate(tasks) if t.n), key=lambda i: len(tasks[i].tokens))
        if not order:
            return [[] for _ in tasks]
        longest = len(tasks[order[-1]].tokens)
        copies = min(tasks[i].n for i in order) if self.shares else 1
        fit = rows_that_fit(self.model, longest // copies + params.max_new_tokens, self.how.cache_gib)
        wanted = [(i, k) for i in order for k in range(tasks[i].n)]
        samples: list[list[Sample]] = [[] for _ in tasks]
        fits = AdaptiveBatch(min(self.batch_size, fit), hint="lower sampling.max_new_tokens")
        for batch, made in fits.batches(wanted, lambda b: self._batch(tasks, b, params, seed, tick)):
            for (i, _), sample in zip(batch, made, strict=True):
                samples[i].append(sample)
        self.batch_size = fits.size if fits.size < fit else self.batch_size
        return samples

    def _batch(
        self,
        tasks: Sequence[SamplingTask],
        wanted: list[tuple[int, int]],
        params: Sampling,
        seed: int,
        tick: Tick,
    ) -> list[Sample]:
        from rmlab.samplers.token_choice import sample_key

        rows = [_Row(i, sample_key(seed, tasks[i].prompt_id, k)) for i, k in wanted]
        self._decode(tasks, rows, params, tick)
        return [self._finish(row, params) for row in rows]

    def _decode(self, tasks: Sequence[SamplingTask], rows: list[_Row], params: Sampling, tick: Tick) -> None:
        import torch

        from rmlab.models.decoding.decoder import open_decoder

        distinct = list(dict.fromkeys(row.task for row in rows))
        longest = max(len(tasks[i].tokens) for i in distinct) + params.max_new_tokens
        decoder = open_decoder(self.model, self.tokenizer.pad_token_id, longest, self.shares, self.fused)
        place = {task: k for k, task in enumerate(distinct)}
        with torch.inference_mode():
            logits = decoder.start(
                [tasks[i].tokens for i in distinct], torch.tensor([place[row.task] for row in rows])
            )
            for step in range(params.max_new_tokens):
                tokens = self._choose(logits, rows, step, params)
                tick(len(rows))
                going = [i for i, row in enumerate(rows) if not self._is_done(row, params)]
                if not going or step + 1 == params.max_new_tokens:
                    return
                if len(going) < len(rows):
                    kept = decoder.keep(torch.tensor(going, device=tokens.device))
                    tokens, rows = tokens[kept], [rows[i] for i in kept.tolist()]
                logits = decoder.step(tokens)

    def _choose(self, logits: Any, rows: list[_Row], step: int, params: Sampling) -> Any:
        """Draws a token for each row and adds its log-probability, at temperature 1, to the row's."""
        import torch

        from rmlab.samplers.token_choice import choose, step_keys

        keys = step_keys(torch.tensor([row.key for row in rows], device=logits.device), step)
        choice = choose(logits, keys, params.temperature, params.top_p)
        for row, token, logprob, near in zip(rows, *(part.tolist() for part in choice), strict=True):
            row.tokens.append(token)
            row.logprob += logprob
            row.near_ties += near
        return choice.tokens

    def _is_done(self, row: _Row, params: Sampling) -> bool:
        if row.tokens[-1] in self.end_tokens:
            return True
        return bool(params.stop) and cut_at_stop(self.text(row.tokens), params.stop) is not None

    def _finish(self, row: _Row, params: Sampling) -> Sample:
        text, ended = self.finished(row.tokens, params.stop)
        reason = "stop" if ended else "length"
        return Sample(text, len(row.tokens), reason, row.logprob, near_ties=row.near_ties)
