"""Sampling with vLLM: each sample is a separate request with a seed of its own."""

from __future__ import annotations

import json
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from rmlab.config.settings import Sampling, TemplateName
from rmlab.errors import InputError, RmlabError
from rmlab.models.compute import Compute, n_gpus
from rmlab.models.folder_check import check_files, told_of
from rmlab.models.text.tokens import context_length
from rmlab.models.weights import ADAPTER_CONFIG, base_folder, is_adapter
from rmlab.samplers.base import OpenSampler, Sample, SamplingTask, Tick, TokenSession, sample_rng
from rmlab.samplers.vllm_engine import Engine, open_engine

_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # LoRA ranks that vLLM has kernels for


@dataclass(frozen=True)
class VllmSampler:
    """Samples by vLLM. Parameters are those of vllm.LLM; `engine` holds further ones by name."""

    name: ClassVar[str] = "vllm"
    needs: ClassVar[tuple[str, ...]] = ("vllm",)
    runs_model: ClassVar[bool] = True

    max_model_len: int | None = None
    engine: dict[str, Any] | None = None
    tensor_parallel_size: int = field(default=1, metadata={"runtime": True})
    gpu_memory_utilization: float = field(default=0.9, metadata={"runtime": True})
    max_num_seqs: int | None = field(default=None, metadata={"runtime": True})
    max_num_batched_tokens: int | None = field(default=None, metadata={"runtime": True})
    enforce_eager: bool | None = field(default=None, metadata={"runtime": True})
    needs_model = True

    def check_machine(self, compute: Compute) -> None:
        """Raises InputError where this machine shows fewer GPUs than a model is to be spread over."""
        n = n_gpus()
        if 0 < n < self.tensor_parallel_size:
            raise InputError(
                f"sampler.tensor_parallel_size={self.tensor_parallel_size}, but this machine shows {n} GPUs; "
                f"set sampler.tensor_parallel_size={n} or fewer"
            )

    def open(self, folder: Path | None, template: TemplateName, compute: Compute) -> OpenSampler:
        if folder is None:
            raise InputError("sampler=vllm needs a model; give model=...")
        self.check_machine(compute)
        # vLLM's imports keep references to stack frames, and through those of the callers to the engine. In a
        # thread the stack ends at its start, so the engine is freed when the stage ends.
        with ThreadPoolExecutor(1) as thread:
            opened = thread.submit(self._open, folder, compute).result()
        return _VllmSession(*opened, folder, template)

    def _open(self, folder: Path, compute: Compute) -> tuple[Engine, Any, int, Any]:
        """Returns the engine, the tokenizer, the context length and the end tokens."""
        tokenizer = compute.load_tokenizer(folder)
        base = base_folder(folder) if is_adapter(folder) else folder
        config, ends = _config(base, compute)
        context = min(context_length(config, tokenizer), self.max_model_len or 10**9)
        engine = open_engine(base, compute, self._arguments(folder, context, compute))
        return engine, tokenizer, context, ends

    def _arguments(self, folder: Path, context: int, compute: Compute) -> dict[str, Any]:
        """Returns the arguments of vllm.LLM; those that are None are left to vllm_engine and to vLLM."""
        chosen = {
            "max_num_seqs": self.max_num_seqs,
            "max_num_batched_tokens": self.max_num_batched_tokens,
            "enforce_eager": self.enforce_eager,
        }
        return {
            "tokenizer": str(folder),
            "max_model_len": context,
            "dtype": compute.dtype,
            "trust_remote_code": compute.trust_remote_code,
            "tensor_parallel_size": self.tensor_parallel_size,
            "gpu_memory_utilization": self.gpu_memory_utilization,
            "enable_prefix_caching": True,  # the samples of one prompt share its pass
            "logprobs_mode": "raw_logprobs",  # before temperature and top-p
            "generation_config": "vllm",  # no sampling defaults of the model's own
            **{name: value for name, value in chosen.items() if value is not None},
            **(adapter_arguments(folder) if is_adapter(folder) else {}),
            **(self.engine or {}),
        }


class _VllmSession(TokenSession):
    """The opened sampler. When it is garbage collected, the engine's processes end."""

    def __init__(
        self,
        engine: Engine,
        tokenizer: Any,
        context: int,
        ends: Any,
        folder: Path,
        template: TemplateName,
    ) -> None:
        super().__init__(tokenizer, template, context, ends)
        self.engine = engine
        self.adapter = folder if is_adapter(folder) else None
        weakref.finalize(self, engine.close)

    def generate(
        self, tasks: Sequence[SamplingTask], params: Sampling, seed: int, tick: Tick
    ) -> list[list[Sample]]:
        rows = [(task, k) for task in tasks for k in range(task.n)]
        prompts = [task.tokens for task, _ in rows]
        how = [self._how(params, seed, task.prompt_id, k) for task, k in rows]
        drawn = iter([self._sample(o, params) for o in self.engine.generate(prompts, how, self.adapter)])
        samples = [[next(drawn) for _ in range(task.n)] for task in tasks]
        tick(sum(sample.n_tokens for row in samples for sample in row))
        return samples

    def _how(self, params: Sampling, seed: int, prompt_id: str, index: int) -> dict[str, Any]:
        """Returns vLLM's SamplingParams for one sample; end tokens and decoding are rmlab's, not vLLM's."""
        return {
            "seed": int(sample_rng(seed, prompt_id, index).integers(2**63)),
            "temperature": params.temperature,
            "top_p": params.top_p,
            "top_k": 0,
            "max_tokens": params.max_new_tokens,
            "stop": list(params.stop),
            "stop_token_ids": sorted(self.end_tokens),
            "ignore_eos": True,
            "detokenize": bool(params.stop),
            "logprobs": 0,
        }

    def _sample(self, output: Any, params: Sampling) -> Sample:
        """Returns the sample of a CompletionOutput, which has the log-probability of each token."""
        if output.finish_reason not in ("stop", "length"):
            raise RmlabError(
                f"vLLM ended a response early ({output.finish_reason}); run the same command again"
            )
        tokens = list(output.token_ids)
        text, _ = self.finished(tokens, params.stop)
        logprob = sum(place[token].logprob for token, place in zip(tokens, output.logprobs, strict=False))
        return Sample(text, len(tokens), output.finish_reason, logprob)


def adapter_arguments(folder: Path) -> dict[str, Any]:
    """Returns arguments of vllm.LLM, from peft's configuration of the adapter."""
    config = json.loads((folder / ADAPTER_CONFIG).read_text())
    ranks = [int(config.get("r", 0)), *map(int, config.get("rank_pattern", {}).values())]
    if max(ranks) > _RANKS[-1]:
        raise InputError(f"{folder}: vLLM takes no LoRA of rank {max(ranks)}; use sft.output=merged")
    rank = next(r for r in _RANKS if r >= max(ranks))
    return {"enable_lora": True, "max_loras": 1, "max_lora_rank": rank}


def _config(base: Path, compute: Compute) -> tuple[Any, Any]:
    """Returns the model's configuration and its end token or end tokens, None if it names none."""
    from transformers import AutoConfig, GenerationConfig

    with told_of(base, "its configuration"):
        check_files(base)
        config = AutoConfig.from_pretrained(base, trust_remote_code=compute.trust_remote_code)
        try:
            generation = GenerationConfig.from_pretrained(base)
        except OSError:  # a model without one ends where its configuration says
            generation = GenerationConfig.from_model_config(config)
    return config, generation.eos_token_id
