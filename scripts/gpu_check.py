"""Parity and speed on a CUDA device, with random weights, so that nothing is fetched.

    python scripts/gpu_check.py                       a few minutes; the speed of Gemma-2B's shape in bfloat16
    python scripts/gpu_check.py --quick               half as many texts and prompts
    python scripts/gpu_check.py --device cpu --tiny   the same lines on a small shape; its speeds mean nothing

Each check is a line: ok or failed, the error and its bound. The last line is one JSON object of all figures.
Exit code 1 where a check failed, 3 without a CUDA device.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from gpu_parity import Check, all_checks
from gpu_sizes import GEMMA_2B, TINY, Sizes, random_model
from gpu_speed import bench_embed, bench_sample, copy_rate

from rmlab.errors import FAILURE, MISSING_INPUT, OK, USAGE, RmlabError


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parsed(arguments)
    kind = given.device.partition(":")[0]
    if kind == "cuda" and not torch.cuda.is_available():
        return _refused(
            "no CUDA device here; run this where torch sees one, or try: --device cpu --tiny", MISSING_INPUT
        )
    if kind == "cpu" and not given.tiny:
        return _refused("Gemma-2B's shape is too large for a CPU; add --tiny", USAGE)
    if kind not in ("cuda", "cpu"):
        return _refused(f"device {given.device!r} is neither cuda nor cpu; give one of them", USAGE)
    sizes = TINY if given.tiny else GEMMA_2B
    try:
        return _checked(given.device, sizes.halved() if given.quick else sizes)
    except (RmlabError, torch.OutOfMemoryError) as error:
        return _refused(str(error).splitlines()[0], FAILURE)


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda (the default), cuda:1, ... or cpu")
    parser.add_argument("--tiny", action="store_true", help="a small shape and few texts")
    parser.add_argument("--quick", action="store_true", help="half as many texts and prompts")
    return parser.parse_args(arguments)


def _refused(line: str, code: int) -> int:
    print(line, file=sys.stderr)
    return code


def _checked(device: str, sizes: Sizes) -> int:
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    started = time.perf_counter()
    print(f"torch {torch.__version__} on {_name(device)}; TF32 is off; sizes: {sizes}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        checks = _shown(all_checks(Path(temporary), device))
    figures, more = _speeds(device, sizes)
    checks += more
    failed = sum(not check.ok for check in checks)
    figures["seconds"] = time.perf_counter() - started
    shown = {k: v if v is None else float(f"{v:.4g}") for k, v in figures.items()}
    print(json.dumps({"device": _name(device), "checks": len(checks), "failed": failed, **shown}))
    return FAILURE if failed else OK


def _shown(checks: Iterable[Check]) -> list[Check]:
    """As each one comes."""
    done = []
    for check in checks:
        print(check, flush=True)
        done.append(check)
    return done


def _speeds(device: str, sizes: Sizes) -> tuple[dict[str, float | None], list[Check]]:
    bandwidth = copy_rate(sizes.copied, device)
    print(f"memory: {bandwidth / 1e9:,.0f} GB/s read and written by a copy of {sizes.copied / 1e9:.2g} GB")
    model = random_model(sizes.shape, device)
    figures, checks = bench_embed(model, sizes, sizes.texts)
    _shown(checks)
    rate = figures["product_tflops_bfloat16"] * 1e12
    for length in sizes.prompt_tokens:
        found, more = bench_sample(model, sizes, length, rate, bandwidth)
        figures, checks = figures | found, checks + _shown(more)
    found, more = bench_embed(model.float(), sizes, sizes.texts_float32)
    figures, checks = figures | found | {"copy_gb_per_s": bandwidth / 1e9}, checks + _shown(more)
    peak = _peak_gib(device)
    print(f"peak memory of the device: {'not counted on a CPU' if peak is None else f'{peak:.1f} GiB'}")
    return {**figures, "peak_gib": peak}, checks


def _name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "a CPU"


def _peak_gib(device: str) -> float | None:
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.startswith("cuda") else None


if __name__ == "__main__":
    sys.exit(main())
