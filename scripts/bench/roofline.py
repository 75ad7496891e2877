"""The rate of products by the number of rows, and what sampling and embedding reach of it, as a figure.

    python scripts/bench/roofline.py [--out docs/figures/roofline.png]

Products are those of SmolLM2's layers; a work's rate is that of its products over its whole time. The last
line is one JSON object with all rates in GFLOP/s.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import generation_works as works
import numpy as np
import torch
from generation_naive import product_gflops
from transformers import AutoModelForCausalLM

from rmlab.embedders.transformers import TransformersEmbedder
from rmlab.models.compute import Compute
from rmlab.models.decoding.decoder import fuse_model, may_share, open_decoder
from rmlab.models.machine_notes import described_machine
from rmlab.models.product_rates import PRECISIONS, memory_rate
from rmlab.models.text.rendering import Exchange

ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
SAMPLED = (1, 8, 32, 100, 256)
_STEPS, _TEXTS = 6, 200
_COLOURS = {"float32": "#31688e", "bfloat16": "#d1495b"}


def sampling_gflops(dtype: str) -> dict[int, float]:
    """Products of a step of decoding over the time of the whole step, by the number of rows."""
    model = Compute(dtype).load_model(AutoModelForCausalLM, works.folder())
    shares, fused = may_share(model, 0), fuse_model(model, 0)
    weights = sum(p.numel() for p in model.parameters())  # the embedding is the output layer, too
    found = {}
    with torch.inference_mode():
        for rows in SAMPLED:
            decoder = open_decoder(model, 0, 200, shares, fused)
            decoder.start(works.cuts(np.full(1, 64)), torch.zeros(rows, dtype=torch.long))
            best = min(_seconds(lambda d=decoder, n=rows: d.step(torch.full((n,), 9))) for _ in range(_STEPS))
            found[rows] = 2 * rows * weights / best / 1e9
    return found


def _seconds(work: Any) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def embedding_gflops(dtype: str) -> float:
    texts = [works.tokenizer().decode(t) for t in works.cuts(works.spread(_TEXTS, 8, 256))]
    rows = [Exchange("p", f"r{k}", [{"role": "user", "content": t[:1]}], t[1:]) for k, t in enumerate(texts)]
    tokens = sum(len(t) for t in works.tokenizer()(texts)["input_ids"])
    embedder = TransformersEmbedder().open(works.MODEL, "plain", Compute(dtype))
    embedder.embed(rows[:4], lambda rows, n: None)
    took = _seconds(lambda: embedder.embed(rows, lambda rows, n: None))
    layers = embedder.model.named_parameters()  # type: ignore[attr-defined]
    weights = sum(p.numel() for name, p in layers if "embed_tokens" not in name)
    return 2 * weights * tokens / took / 1e9


def draw(found: dict[str, Any], out: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    for dtype, rates in found["works"].items():
        colour = _COLOURS[dtype]
        axes.plot(ROWS, rates["products"], color=colour, label=f"products in {dtype}")
        axes.plot(
            list(rates["sampling"]), list(rates["sampling"].values()), "o", color=colour,
            label=f"sampling in {dtype}, by rows",
        )  # fmt: skip
        axes.plot([2048], [rates["embedding"]], "s", color=colour, label=f"embedding in {dtype}")
    axes.set(
        xscale="log", yscale="log", xlabel="rows multiplied at once (embedding: at the right)",
        ylabel="GFLOP/s", title=f"{found['machine']['processor']}, {found['machine']['cores']} cores",
    )  # fmt: skip
    axes.set_xticks(ROWS, [f"{n:,}" for n in ROWS])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="lower right")
    figure.savefig(out, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("docs/figures/roofline.png"))
    given = parser.parse_args()
    found: dict[str, Any] = {"machine": described_machine(), "memory_gb_s": memory_rate(), "works": {}}
    for dtype in PRECISIONS:
        print(f"measuring {dtype}", flush=True)
        found["works"][dtype] = {
            "products": [product_gflops(n, getattr(torch, dtype)) for n in ROWS],
            "sampling": sampling_gflops(dtype),
            "embedding": embedding_gflops(dtype),
        }
    draw(found, given.out)
    print(f"wrote {given.out}")
    print(json.dumps(found, default=float))


if __name__ == "__main__":
    main()
