"""The works of the benchmark of generation; each returns ratios by key."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import generation_naive as naive
import numpy as np
import torch
from generation_sizes import Sizes
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification, pipeline

from rmlab.config.settings import Sampling
from rmlab.data.prompts import read_demonstrations
from rmlab.embedders.transformers import TransformersEmbedder
from rmlab.goldens.sequence_classifier import SequenceClassifier
from rmlab.models.compute import Compute
from rmlab.models.precision import resolve
from rmlab.models.product_rates import PRECISIONS, rates
from rmlab.models.text.rendering import Exchange
from rmlab.models.weights import find_model, widths_of
from rmlab.paths import user_path
from rmlab.processes import run
from rmlab.samplers.base import SamplingTask
from rmlab.samplers.transformers import TransformersSampler

MODEL = "smollm2-135m-q4"
_VLLM = Path(".venv-vllm/bin/python")
SLOW = 0.8  # a precision whose products reach less of the other's rate is not tried


@cache
def folder() -> Path:
    return find_model(MODEL).folder()


@cache
def ours() -> Compute:
    """What dtype=auto stands for here."""
    return Compute(resolve("cpu", find_model(MODEL)))


def others() -> list[str]:
    """The precisions that the other side tries, of which the better counts; a far slower one is not tried."""
    return [p for p in PRECISIONS if p == "float32" or rates(*widths_of(MODEL)).gain > SLOW]


@cache
def tokenizer() -> Any:
    return Compute().load_tokenizer(folder())


@cache
def stream() -> list[int]:
    """The shipped demonstrations as one run of tokens, from which texts of any length are cut."""
    rows = read_demonstrations(user_path("shipped:demonstrations/questions.jsonl"))
    rows += read_demonstrations(user_path("shipped:demonstrations/openings.jsonl"))
    return tokenizer()(" ".join(r.messages[-1]["content"] + r.completion for r in rows))["input_ids"]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def cuts(lengths: np.ndarray) -> list[list[int]]:
    """Runs of tokens of these lengths, one after another."""
    tokens = stream() * (1 + int(lengths.sum()) // len(stream()))
    ends = lengths.cumsum()
    return [tokens[end - n : end] for n, end in zip(lengths.tolist(), ends.tolist(), strict=True)]


def spread(n: int, shortest: int, longest: int) -> np.ndarray:
    """Lengths evenly spread in the logarithm, in random order."""
    lengths = np.exp(np.linspace(np.log(shortest), np.log(longest), n)).round().astype(int)
    return np.random.default_rng(0).permutation(lengths)


def sampling(new_tokens: int) -> Sampling:
    return Sampling(
        n_train=1, n_test=1, temperature=1.0, top_p=0.95, max_new_tokens=new_tokens, stop=[],
        max_prompt_tokens=None, long_prompts="drop",
    )  # fmt: skip


def our_sampling(prompts: list[list[int]], n: int, new_tokens: int, batch: int) -> tuple[float, int]:
    sampler = TransformersSampler(batch_size=batch).open(folder(), "plain", ours())
    tasks = [SamplingTask(f"p{k}", [], tokens, n) for k, tokens in enumerate(prompts)]
    sampler.generate([SamplingTask("warm", [], prompts[0][:4], 2)], sampling(2), 0, lambda tokens: None)
    took, made = timed(lambda: sampler.generate(tasks, sampling(new_tokens), 0, lambda tokens: None))
    return took, sum(s.n_tokens for samples in made for s in samples)


def their_sampling(prompts: list[list[int]], n: int, new_tokens: int, dtype: str) -> tuple[float, int]:
    model = Compute(dtype).load_model(AutoModelForCausalLM, folder())
    ends = {tokenizer().eos_token_id}
    naive.generate(model, prompts[0][:4], 2, sampling(2), ends)
    return timed(lambda: sum(naive.generate(model, p, n, sampling(new_tokens), ends) for p in prompts))


def _sampled(prompt_tokens: int, sizes: Sizes, n: int, new_tokens: int) -> float:
    prompts = cuts(np.full(sizes.prompts, prompt_tokens))
    mine = our_sampling(prompts, n, new_tokens, n)
    return min(
        _rates(f"transformers generate in {p}", their_sampling(prompts, n, new_tokens, p), mine, "tokens/s")
        for p in others()
    )


def _rates(name: str, theirs: tuple[float, int], ours: tuple[float, int], unit: str) -> float:
    their_rate, our_rate = theirs[1] / theirs[0], ours[1] / ours[0]
    print(
        f"{name} {their_rate:,.0f} {unit} ({theirs[0]:.1f} s), rmlab {our_rate:,.0f} {unit} ({ours[0]:.1f} s)"
    )
    return our_rate / their_rate


def bench_sample(sizes: Sizes) -> dict[str, float]:
    return {"sample": _sampled(sizes.prompt_tokens, sizes, sizes.samples, sizes.new_tokens)}


def bench_long_prompt(sizes: Sizes) -> dict[str, float]:
    ratio = _sampled(sizes.long_prompt_tokens, sizes, sizes.long_samples, sizes.long_new_tokens)
    return {"sample_long_prompt": ratio}


def bench_vllm(sizes: Sizes) -> dict[str, float]:
    """Both with the batch that serves them best: vLLM schedules its own, ours is the default."""
    if not _VLLM.is_file():
        raise SystemExit("sample_vllm needs the environment of vLLM; run: make test-vllm")
    prompts = cuts(np.full(2 * sizes.prompts, sizes.prompt_tokens))
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "prompts.json"
        file.write_text(json.dumps(prompts))
        found = {p: _vllm_side(file, sizes, p) for p in others()}
    mine = our_sampling(prompts, sizes.samples, sizes.new_tokens, TransformersSampler().batch_size)
    return {"sample_vllm": min(_rates(f"vLLM in {p}", side, mine, "tokens/s") for p, side in found.items())}


def _vllm_side(prompts: Path, sizes: Sizes, dtype: str) -> tuple[float, int]:
    side = Path(__file__).with_name("vllm_side.py")
    command = [_VLLM, side, folder(), prompts, str(sizes.samples), str(sizes.new_tokens), dtype]
    done = run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"vLLM failed: {done.stderr[-2000:]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return found["seconds"], found["tokens"]


def bench_embed(sizes: Sizes) -> dict[str, float]:
    """Real tokens a second; operations a second as a share of the fastest products of the model's shapes."""
    texts = [tokenizer().decode(t) for t in cuts(spread(sizes.texts, *sizes.text_tokens))]
    exchanges = [
        Exchange(f"p{k}", f"r{k}", [{"role": "user", "content": t[:1]}], t[1:]) for k, t in enumerate(texts)
    ]
    tokens = sum(len(t) for t in tokenizer()(texts)["input_ids"])
    embedder = TransformersEmbedder().open(MODEL, "plain", ours())
    embedder.embed(exchanges[:4], lambda rows, n: None)
    took, _ = timed(lambda: embedder.embed(exchanges, lambda rows, n: None))
    limit = {d: naive.product_gflops(2048, getattr(torch, d)) for d in PRECISIONS}
    ratios = []
    for p in others():
        model = Compute(p).load_model(AutoModel, folder())
        naive.embed_padded(model, tokenizer(), texts[:2], 16, 2)
        theirs, _ = timed(
            lambda model=model: naive.embed_padded(
                model, tokenizer(), texts, sizes.text_tokens[1], sizes.batch
            )
        )
        ratios.append(_rates(f"padded loop in {p}", (theirs, tokens), (took, tokens), "real tokens/s"))
    weights = sum(p.numel() for name, p in model.named_parameters() if "embed_tokens" not in name)
    reached = 2 * weights * tokens / took / 1e9
    print(f"rmlab {reached:.0f} GFLOP/s; products of the model's shapes: {_shown(limit)}")
    return {"embed": min(ratios), "embed_of_limit": reached / limit[ours().dtype]}


def _shown(limit: dict[str, float]) -> str:
    return ", ".join(f"{rate:.0f} in {dtype}" for dtype, rate in limit.items())


def bench_annotate(sizes: Sizes) -> dict[str, float]:
    """Several responses of mixed length to each prompt, against the faster of the pipeline's two ways."""
    n_prompts, n = sizes.annotated
    prompts = [tokenizer().decode(t).strip() for t in cuts(np.full(n_prompts, sizes.prompt_tokens))]
    responses = [tokenizer().decode(t).strip() for t in cuts(spread(n_prompts * n, *sizes.response_tokens))]
    exchanges = [
        Exchange(f"p{k // n}", f"r{k}", [{"role": "user", "content": prompts[k // n]}], " " + text)
        for k, text in enumerate(responses)
    ]
    with tempfile.TemporaryDirectory() as temporary:
        _write_classifier(Path(temporary))
        scorer = SequenceClassifier(temporary, template="plain").open(ours())
        pipes = {p: pipeline("text-classification", model=temporary, dtype=p) for p in others()}
    texts = [prompts[k // n] + " " + text for k, text in enumerate(responses)]
    tokens = sum(len(t) for t in tokenizer()(texts)["input_ids"])
    scorer(exchanges[:2])
    our_time, mine = timed(lambda: scorer(exchanges))
    ratios = []
    for p, pipe in pipes.items():
        naive.classify(pipe, texts[:2], 1)
        for batch in (1, sizes.batch):
            took, found = timed(lambda batch=batch, pipe=pipe: naive.classify(pipe, texts, batch))
            name = f"pipeline in {p}, batches of {batch}"
            ratios.append(_rates(name, (took, tokens), (our_time, tokens), "real tokens/s"))
            print(f"largest difference of scores: {np.abs(np.array(found) - np.array(mine)).max():.1g}")
    return {"annotate": min(ratios)}


def _write_classifier(target: Path) -> None:
    """SmolLM2 with a random head of one label."""
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(folder(), num_labels=1, dtype=torch.float32)
    model.config.pad_token_id = tokenizer().pad_token_id
    model.save_pretrained(target)
    tokenizer().save_pretrained(target)
