"""What vLLM is run with where the user says nothing."""

from __future__ import annotations

import os

_GIB = 2**30


def environment(device: str) -> dict[str, str]:
    """Of the engine's processes, on any machine."""
    found = {
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",
        "VLLM_LOGGING_STREAM": "ext://sys.stderr",
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # this process has threads, which a fork would lose
    }
    kind, _, index = device.partition(":")
    if kind == "cuda" and index:
        shown = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        names = [name for name in shown.split(",") if name]
        found["CUDA_VISIBLE_DEVICES"] = names[int(index)] if int(index) < len(names) else index
    return found


def cpu_environment() -> dict[str, str]:
    """On a CPU. Nothing is compiled at run time, for which a C++ compiler would have to be there."""
    return {
        "VLLM_CPU_KVCACHE_SPACE": str(_cache_gib()),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # all cores; bound, it would leave one of them idle
        "TORCH_COMPILE_DISABLE": "1",
        "GOMP_SPINCOUNT": "20000",  # threads that spin long while they wait stall the others
    }


def cpu_arguments(max_model_len: int) -> dict[str, object]:
    """Of vllm.LLM on a CPU, where a request with a seed fails if its prompt is split over two passes."""
    return {
        "enforce_eager": True,
        "block_size": 32,  # tokens; prompts are shared in whole blocks, and the default there is 128
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(4096, max_model_len),
    }


def _cache_gib() -> int:
    """A quarter of the memory, from 1 to 4 GiB: a thousand responses of a small model at once."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _GIB
    return max(1, min(4, total // 4))
