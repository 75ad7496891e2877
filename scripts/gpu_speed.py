"""Embedding and sampling with random weights, beside the chip's limit and plain transformers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gpu_parity import Check, relative
from gpu_sizes import Shape, Sizes
from torch import Tensor

from rmlab.config.settings import Sampling
from rmlab.embedders.transformers import EmbeddingSession as Embedding
from rmlab.embedders.transformers import TransformersEmbedder
from rmlab.models.bundled.random_tiny import byte_tokenizer
from rmlab.models.text.rendering import Exchange
from rmlab.samplers.base import SamplingTask
from rmlab.samplers.transformers import SamplingSession as Drawing
from rmlab.samplers.transformers import TransformersSampler

TARGET = 0.70  # of the limit, for embeddings in bfloat16
Figures = dict[str, float]
Found = tuple[Figures, list[Check]]


def timed(device: str, work: Callable[[], Any]) -> tuple[float, Any]:
    _finish(device)
    started = time.perf_counter()
    result = work()
    _finish(device)
    return time.perf_counter() - started, result


def _finish(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def product_rate(shape: Shape, rows: int, device: str, dtype: torch.dtype) -> float:
    """Operations a second: the best of ten passes over the products of one layer."""
    weights = [torch.randn(o, i, device=device).to(dtype) for i, o in shape.products()]
    inputs = {i: torch.randn(rows, i, device=device).to(dtype) for i, _ in shape.products()}

    def layer() -> None:
        for weight in weights:
            torch.nn.functional.linear(inputs[weight.shape[1]], weight)

    layer()
    took = min(timed(device, layer)[0] for _ in range(10))
    return sum(2 * rows * i * o for i, o in shape.products()) / took


def copy_rate(n_bytes: int, device: str) -> float:
    """Bytes a second, read and written: the best of ten copies."""
    source = torch.ones(n_bytes // 4, device=device)
    target = torch.empty_like(source)
    took = min(timed(device, lambda: target.copy_(source))[0] for _ in range(10))
    return 2 * n_bytes / took


def bench_embed(model: Any, sizes: Sizes, n: int) -> Found:
    """Real tokens a second of n texts; operations are those of the layers' products, without attention's."""
    device, dtype = str(model.device), str(model.dtype).removeprefix("torch.")
    texts = random_texts(sizes.texts, *sizes.text_tokens)[:n]
    exchanges = [
        Exchange("p", str(k), [{"role": "user", "content": t[:1]}], t[1:]) for k, t in enumerate(texts)
    ]
    session = Embedding(model.model, byte_tokenizer(), "plain", TransformersEmbedder(), "random")
    rate = product_rate(sizes.shape, session.reader.tokens, device, model.dtype)
    tokens = sum(map(len, texts))
    session.embed(exchanges[: math.ceil(n / 8)], lambda *_: None)
    took, found = timed(device, lambda: session.embed(exchanges, lambda *_: None))
    length, batch = sizes.text_tokens[1], sizes.padded_batch
    embed_padded(model.model, texts[:batch], length, batch)
    theirs, expected = timed(device, lambda: embed_padded(model.model, texts, length, batch))
    reached = 2 * sizes.shape.layer_weights() * tokens / took
    far = relative(found.vectors, expected)
    print(f"embed {dtype}: {n} texts, {tokens:,} real tokens")
    print(_beside("padded loop", (took, tokens), (theirs, tokens)))
    share = reached / rate
    print(f"  {reached / 1e12:.3g} of {rate / 1e12:.3g} TFLOP/s, {_share(share)}{_judged(dtype, share)}")
    figures = {
        f"product_tflops_{dtype}": rate / 1e12,
        f"embed_tokens_per_s_{dtype}": tokens / took,
        f"embed_{dtype}": theirs / took,
        f"embed_of_limit_{dtype}": share,
        f"embed_from_padded_{dtype}": far,
    }
    bound = 1e-4 if dtype == "float32" else 5e-2  # both sides round in bfloat16, layer after layer
    plain = float(not session.reader.shares)
    return figures, [
        Check(f"embeddings {dtype}, beside the padded loop's, relative", far, bound),
        Check(f"embeddings {dtype}: the model cannot share prompts", plain, 0),
    ]


def _beside(rival: str, ours: tuple[float, int], theirs: tuple[float, int]) -> str:
    """Each side's seconds and tokens."""
    rates = [tokens / seconds for seconds, tokens in (ours, theirs)]
    return (
        f"  rmlab {rates[0]:,.0f} tokens/s ({ours[0]:.2f} s), {rival} {rates[1]:,.0f} ({theirs[0]:.2f} s), "
        f"ratio {rates[0] / rates[1]:.2f}"
    )


def _share(share: float) -> str:
    return f"share of the limit {share:.2f}"


def _judged(dtype: str, share: float) -> str:
    if dtype != "bfloat16":
        return ""
    return f" ({'reaches' if share >= TARGET else 'below'} the target of {TARGET:.2f})"


def random_texts(n: int, shortest: int, longest: int) -> list[str]:
    """Of letters, a token each; lengths evenly spread in the logarithm, in random order."""
    rng = np.random.default_rng(0)
    lengths = np.exp(np.linspace(np.log(shortest), np.log(longest), n)).round().astype(int)
    return ["".join(rng.choice(list("abcdefghijklmnop"), size=k)) for k in rng.permutation(lengths)]


@torch.inference_mode()
def embed_padded(model: Any, texts: list[str], length: int, batch: int) -> np.ndarray:
    """Every text padded to one length on the right; the mean over its response, all but its first token."""
    tokenizer, found = byte_tokenizer(), []
    for start in range(0, len(texts), batch):
        part = texts[start : start + batch]
        rows = tokenizer(part, return_tensors="pt", padding="max_length", max_length=length, truncation=True)
        ids, mask = rows["input_ids"].to(model.device), rows["attention_mask"].to(model.device)
        states = model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        mask[:, 0] = 0
        found.append((states.float() * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True))
    return torch.cat(found).cpu().numpy()


def bench_sample(model: Any, sizes: Sizes, length: int, rate: float, bandwidth: float) -> Found:
    """One prompt's samples a batch, on both sides; and rmlab with the batches it makes by itself."""
    rng = np.random.default_rng(length)
    prompts = rng.integers(3, sizes.shape.vocabulary, (sizes.prompts, length)).tolist()
    theirs = timed_generate(model, sizes, prompts)
    rival = theirs[1] / theirs[0]
    figures: Figures = {f"generate_{length}_tokens_per_s": rival}
    made = f"{sizes.samples} samples of {sizes.new_tokens} tokens"
    print(f"sample: {sizes.prompts} prompts of {length} tokens, {made} each", flush=True)
    usual = TransformersSampler().batch_size
    for batch, suffix in ((sizes.samples, ""), (usual, "_usual_batch")):
        took, tokens, logprob, session = timed_samples(model, sizes, prompts, batch)
        share = _least_seconds(sizes, batch, length, rate, bandwidth) / took
        print(_beside("transformers generate", (took, tokens), theirs))
        print(f"  in batches of {batch}; {_share(share)}; perplexity {math.exp(-logprob / tokens):.3g}")
        figures[f"sample_{length}_tokens_per_s{suffix}"] = tokens / took
        figures[f"sample_{length}{suffix}"] = tokens / took / rival
        figures[f"sample_{length}_of_limit{suffix}"] = share
    plain = float(not session.shares)
    return figures, [Check(f"samples after {length} tokens: the model cannot share prompts", plain, 0)]


def _least_seconds(sizes: Sizes, batch: int, length: int, rate: float, bandwidth: float) -> float:
    """Of all samples in such batches, in order; a prompt whose samples span two batches is read in both."""
    n, seconds = sizes.prompts * sizes.samples, 0.0
    for start in range(0, n, batch):
        end = min(n, start + batch)
        prompts = (end - 1) // sizes.samples - start // sizes.samples + 1
        seconds += decoding_seconds(sizes, end - start, prompts, length, rate, bandwidth)
    return seconds


def timed_generate(model: Any, sizes: Sizes, prompts: list[list[int]]) -> tuple[float, int]:
    generate(model, prompts[0], sizes.samples, 2)
    return timed(
        str(model.device), lambda: sum(generate(model, p, sizes.samples, sizes.new_tokens) for p in prompts)
    )


def timed_samples(
    model: Any, sizes: Sizes, prompts: list[list[int]], batch: int
) -> tuple[float, int, float, Any]:
    """Seconds, tokens made, their log-probability and the sampler."""
    session = Drawing(model, byte_tokenizer(), "plain", TransformersSampler(batch_size=batch))
    tasks = [SamplingTask(f"p{k}", [], tokens, sizes.samples) for k, tokens in enumerate(prompts)]
    session.generate(tasks, _sampling(2), 0, lambda tokens: None)
    took, made = timed(
        str(model.device),
        lambda: session.generate(tasks, _sampling(sizes.new_tokens), 0, lambda tokens: None),
    )
    samples = [s for of_prompt in made for s in of_prompt]
    return took, sum(s.n_tokens for s in samples), sum(s.logprob for s in samples), session


def _sampling(new_tokens: int) -> Sampling:
    return Sampling(
        n_train=1, n_test=1, temperature=1.0, top_p=0.95, max_new_tokens=new_tokens, stop=[],
        max_prompt_tokens=None, long_prompts="drop",
    )  # fmt: skip


def generate(model: Any, tokens: list[int], n: int, new_tokens: int) -> int:
    """One prompt's samples by transformers; returns the tokens up to the end tokens."""
    ids = torch.tensor([tokens], device=model.device)
    out: Tensor = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=True,
        temperature=1.0,
        top_p=0.95,
        top_k=0,
        max_new_tokens=new_tokens,
        num_return_sequences=n,
    )
    ended = (out[:, len(tokens) :] == model.config.eos_token_id).cumsum(dim=1)
    return int((ended - ended.diff(dim=1, prepend=ended[:, :1] * 0) == 0).sum())


def decoding_seconds(
    sizes: Sizes, rows: int, prompts: int, length: int, rate: float, bandwidth: float
) -> float:
    """The least a batch takes: a pass, the slower of its products and of reading weights and cache.

    The prompts are read once, with one pass for the first token of every row; each further token is a pass.
    """
    shape, width = sizes.shape, torch.bfloat16.itemsize
    weights = shape.layer_weights() + shape.head_weights()
    first = 2 * (shape.layer_weights() * length + shape.head_weights()) * prompts
    seconds = max(first / rate, weights * width / bandwidth)
    for own in range(1, sizes.new_tokens):
        cached = shape.cache_values() * (prompts * length + rows * own)
        seconds += max(2 * weights * rows / rate, (weights + cached) * width / bandwidth)
    return seconds
