"""Models on a device beside plain transformers: embeddings, log-probabilities, tokens and scores.

The reference reads one text at a time in float32 on the CPU; greedy decoding is compared on the device.
scripts/gpu_check.py runs these on a CUDA device, the tests on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    GemmaConfig,
    LlamaConfig,
    Qwen2Config,
)

from rmlab.config.settings import Sampling
from rmlab.embedders.transformers import TransformersEmbedder
from rmlab.goldens.sequence_classifier import SequenceClassifier
from rmlab.models.bundled.random_tiny import byte_tokenizer
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange
from rmlab.samplers.base import Sample, SamplingTask
from rmlab.samplers.transformers import SamplingSession, TransformersSampler

# weights wide enough that every layer matters: at the usual 0.02 a wrong attention hardly shows
_SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 1024,
    "initializer_range": 0.1,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
KINDS = {
    "llama": (LlamaConfig, {}),
    "gemma": (GemmaConfig, {"num_key_value_heads": 1, "head_dim": 32}),
    "qwen2": (Qwen2Config, {}),
}
BOUNDS = {"float32": 1e-4, "bfloat16": 2e-2}  # of embeddings, ‖a-b‖/‖b‖
_PROMPTS = ["Hi", "A much longer prompt, with commas, that goes on for a while", "Then", "x" * 120]
_RESPONSES = ["", " b", " you, over by the wall, are late again", " so it is. " * 20]
_PAIRS = [(p, r) for p in _PROMPTS for r in _RESPONSES] + [(f"{k} once", " alone" * k) for k in range(1, 9)]
_NEW_TOKENS = 16
_BATCHES = (1, 5, 64)


class Check(NamedTuple):
    name: str
    error: float
    bound: float
    note: str = ""

    @property
    def ok(self) -> bool:
        return self.error <= self.bound  # not so where the error is not a number

    def __str__(self) -> str:
        verdict = "ok    " if self.ok else "failed"
        return (
            f"{verdict} {self.name}: {self.error:.2g}, bound {self.bound:g}{self.note and '; ' + self.note}"
        )


def all_checks(target: Path, device: str) -> Iterator[Check]:
    for kind in KINDS:
        folder = target / kind
        write_models(kind, folder)
        for dtype in BOUNDS:
            yield check_sharing(folder, device, dtype)
            yield check_embeddings(folder, device, dtype)
        yield check_logprobs(folder, device)
        yield check_greedy(folder, device)
        yield check_batches(folder, device)
        yield check_scores(folder, device)


def write_models(kind: str, folder: Path) -> None:
    """folder/model and folder/classifier, with random weights and the byte tokenizer."""
    config_class, changes = KINDS[kind]
    tokenizer = byte_tokenizer()
    for name, auto_class in (
        ("model", AutoModelForCausalLM),
        ("classifier", AutoModelForSequenceClassification),
    ):
        config = config_class(**{**_SIZES, **changes}, vocab_size=len(tokenizer))
        config.num_labels = 1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            auto_class.from_config(config).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)


def check_sharing(folder: Path, device: str, dtype: str) -> Check:
    """A model whose own numbers sharing does not give is run the plain way, without a word: not so here."""
    compute = Compute(dtype, device)
    embedder: Any = TransformersEmbedder(model=str(folder / "model")).open("", "plain", compute)
    sampler: Any = TransformersSampler().open(folder / "model", "plain", compute)
    plain = (not embedder.reader.shares) + (not sampler.shares)
    return Check(f"{folder.name} {dtype} ways, of 2, that do not share prompts", plain, 0)


def check_embeddings(folder: Path, device: str, dtype: str) -> Check:
    """The worse of both poolings; shared prompts and prompts of their own."""
    views = [TransformersEmbedder(model=str(folder / "model"), pooling=p) for p in ("mean", "last")]
    opened: Any = views[0].open("", "plain", Compute(dtype, device))
    found = [e.vectors for e in opened.embed_views(_exchanges(), views, lambda *_: None)]
    expected = _expected_embeddings(folder / "model")
    far = [relative(a, b) for a, b in zip(found, expected, strict=True)]
    return Check(f"{folder.name} {dtype} embeddings, relative", max(far), BOUNDS[dtype])


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """‖a-b‖/‖b‖"""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def check_logprobs(folder: Path, device: str) -> Check:
    """Of whole samples, summed over their tokens, against a pass over prompt and sample."""
    made, rows = _generate(folder, device, batch=64, temperature=0.7)
    model, far = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32), []
    prompts = _prompt_tokens()
    for row, sample in zip(rows, made, strict=True):
        prompt = prompts[row.task]
        with torch.inference_mode():
            logits = model(torch.tensor([prompt + row.tokens])).logits[0, len(prompt) - 1 : -1]
        expected = torch.log_softmax(logits, -1)[range(len(row.tokens)), row.tokens].sum()
        far.append(abs(sample.logprob - float(expected)))
    return Check(f"{folder.name} float32 log-probabilities of samples", float(np.max(far)), 1e-3)


def check_greedy(folder: Path, device: str) -> Check:
    """Against transformers' generate on the same device, one prompt at a time."""
    _, rows = _generate(folder, device, batch=64, n=1, temperature=0.0)
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32).to(device)
    theirs = {}
    for k, prompt in enumerate(_prompt_tokens()):
        ids = torch.tensor([prompt], device=device)
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=_NEW_TOKENS, do_sample=False
        )
        theirs[k] = out[0, len(prompt) :].tolist()
    return _tokens_check(
        f"{folder.name} float32 greedy texts that differ", [(row, theirs[row.task]) for row in rows]
    )


def check_batches(folder: Path, device: str) -> Check:
    first, *others = (_generate(folder, device, batch)[1] for batch in _BATCHES)
    pairs = [(a, b.tokens) for rows in others for a, b in zip(first, rows, strict=True)]
    sizes = ", ".join(map(str, _BATCHES))
    return _tokens_check(f"{folder.name} float32 samples that differ between batches of {sizes}", pairs)


def _tokens_check(name: str, pairs: list[tuple[Any, list[int]]]) -> Check:
    """A text may go another way only from a near tie on, a choice that rounding could turn."""
    differs = [row for row, tokens in pairs if row.tokens != tokens]
    excused = [
        row for row, tokens in pairs if row.tokens != tokens and _first_change(row, tokens) in row.ties
    ]
    ties = sum(row.near_ties for row, _ in pairs)
    total = sum(len(row.tokens) for row, _ in pairs)
    note = f"of {len(pairs)}; {ties} near ties in {total} tokens turned {len(excused)}"
    return Check(name, len(differs) - len(excused), 0, note)


def _first_change(row: Any, tokens: list[int]) -> int:
    same = (k for k, (a, b) in enumerate(zip(row.tokens, tokens, strict=False)) if a != b)
    return next(same, min(len(row.tokens), len(tokens)))


def check_scores(folder: Path, device: str) -> Check:
    scorer = SequenceClassifier(str(folder / "classifier"), template="plain").open(Compute("float32", device))
    found = scorer(_exchanges())
    model = AutoModelForSequenceClassification.from_pretrained(folder / "classifier", dtype=torch.float32)
    with torch.inference_mode():
        expected = [float(model(torch.tensor([p + r])).logits[0, 0]) for p, r in _tokens_of_pairs()]
    far = np.abs(np.array(found) - np.array(expected)).max()
    return Check(f"{folder.name} float32 classifier scores", float(far), 1e-4)


class _Recording(SamplingSession):
    """A sampler that also keeps its rows, and at which of their tokens the near ties are."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.rows: list[Any] = []

    def _choose(self, logits: Any, rows: list[Any], step: int, params: Sampling) -> Any:
        before = [row.near_ties for row in rows]
        tokens = super()._choose(logits, rows, step, params)
        for row, ties in zip(rows, before, strict=True):
            row.ties = [*getattr(row, "ties", []), *([step] if row.near_ties > ties else [])]
        return tokens

    def _finish(self, row: Any, params: Sampling) -> Sample:
        self.rows.append(row)
        return super()._finish(row, params)


def _generate(
    folder: Path, device: str, batch: int, n: int = 2, temperature: float = 1.0
) -> tuple[list[Sample], list[Any]]:
    """Samples and their rows, both in the order in which the rows were made."""
    how = TransformersSampler(batch_size=batch)
    opened: Any = how.open(folder / "model", "plain", Compute("float32", device))
    session = _Recording(opened.model, opened.tokenizer, "plain", how)
    tasks = [SamplingTask(f"p{k}", [], tokens, n) for k, tokens in enumerate(_prompt_tokens())]
    params = Sampling(
        n_train=1, n_test=1, temperature=temperature, top_p=0.95, max_new_tokens=_NEW_TOKENS, stop=[],
        max_prompt_tokens=None, long_prompts="drop",
    )  # fmt: skip
    made = session.generate(tasks, params, 0, lambda tokens: None)
    order = list(dict.fromkeys(row.task for row in session.rows))
    return [sample for task in order for sample in made[task]], session.rows


def _exchanges() -> list[Exchange]:
    return [Exchange(p, str(k), [{"role": "user", "content": p}], r) for k, (p, r) in enumerate(_PAIRS)]


def _prompt_tokens() -> list[list[int]]:
    return [byte_tokenizer()(p, add_special_tokens=False)["input_ids"] for p in _PROMPTS]


def _tokens_of_pairs() -> list[list[list[int]]]:
    tokenizer = byte_tokenizer()
    return [[tokenizer(t, add_special_tokens=False)["input_ids"] for t in pair] for pair in _PAIRS]


def _expected_embeddings(folder: Path) -> np.ndarray:
    """[2, texts, d]: the mean over the response, and its last token; the prompt's last where it is empty."""
    model, rows = AutoModel.from_pretrained(folder, dtype=torch.float32), []
    for prompt, response in _tokens_of_pairs():
        with torch.inference_mode():
            states = model(torch.tensor([prompt + response])).last_hidden_state[0]
        states = states[len(prompt) :] if response else states[-1:]
        rows.append(torch.stack([states.mean(0), states[-1]]))
    return torch.stack(rows, dim=1).numpy()
