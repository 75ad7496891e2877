"""Sampling, embedding and golden rewards beside what one would write with transformers alone, in one run.

    python scripts/bench/generation.py --quick                   smaller sizes on both sides, under a minute
    python scripts/bench/generation.py --full                    half an hour on 2 cores
    python scripts/bench/generation.py --full --only sample,sample_vllm

Both sides run SmolLM2-135M with the same weights, in the same precision, on the same texts. sample_vllm needs
the environment that `make test-vllm` builds. The last line is one JSON object of ratios (our rate over
theirs); embed_of_limit is the share of the machine's own rate.
"""

from __future__ import annotations

import argparse
import json
import os

os.environ.setdefault("GOMP_SPINCOUNT", "20000")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from generation_naive import product_gflops
from generation_sizes import FULL, QUICK, Sizes
from generation_works import bench_annotate, bench_embed, bench_long_prompt, bench_sample, bench_vllm

WORKS = {
    ("sample",): bench_sample,
    ("sample_vllm",): bench_vllm,
    ("sample_long_prompt",): bench_long_prompt,
    ("embed", "embed_of_limit"): bench_embed,
    ("annotate",): bench_annotate,
}
FULL_ONLY = {"sample_vllm"}


def run(sizes: Sizes, only: set[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for keys, work in WORKS.items():
        wanted = only & set(keys) if only else set(keys)
        if wanted and (sizes is FULL or not set(keys) & FULL_ONLY):
            print(f"== {', '.join(keys)}", flush=True)
            found |= work(sizes)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="smaller sizes on both sides (the default)")
    size.add_argument("--full", action="store_true", help="the sizes that decide")
    parser.add_argument("--only", default="", help="keys of the last line, separated by commas")
    given = parser.parse_args()
    sizes = FULL if given.full else QUICK
    before = product_gflops(2048)
    print(f"products of the model's shapes, 2048 rows, float32: {before:.0f} GFLOP/s; sizes: {sizes}")
    found = run(sizes, set(filter(None, given.only.split(","))))
    after = product_gflops(2048)
    note = "" if after > 0.8 * before else ": another program was busy, run this again"
    print(f"the same products at the end: {after:.0f} GFLOP/s{note}")
    print(json.dumps({key: float(f"{value:.4g}") for key, value in found.items()}))


if __name__ == "__main__":
    main()
