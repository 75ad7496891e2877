"""Where the workers of a stage run: one on each GPU, or several on the cores of the CPU."""

from __future__ import annotations

import os

from rmlab.compute import available_cores

VISIBLE = "CUDA_VISIBLE_DEVICES"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")


def places(workers: int | str, device: str, parts: int, gpus: int = 1) -> list[dict[str, str]]:
    """The environment variables of each worker: its GPUs and its share of the cores.

    workers: how many, or auto: as many as have `gpus` GPUs of their own, else 1; never more than there are
    parts. On a CPU fewer threads may change the last bits of what a model computes, as another machine would.
    """
    if workers == 1 or parts <= 1:
        return [{}]
    devices = _groups(_gpus(), gpus) if device in ("auto", "cuda") else []
    n = min(int(workers) if workers != "auto" else max(1, len(devices)), parts)
    if n == 1:
        return [{}]
    return [_threads(n) | ({VISIBLE: devices[k % len(devices)]} if devices else {}) for k in range(n)]


def _groups(gpus: list[str], size: int) -> list[str]:
    """As CUDA_VISIBLE_DEVICES names so many together; none where there are not enough for one group."""
    return [",".join(gpus[k : k + size]) for k in range(0, len(gpus) - size + 1, size)]


def _gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    n = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return (named or [str(k) for k in range(n)])[:n]


def _threads(workers: int) -> dict[str, str]:
    """A fair share of the cores, or what the user allows, where that is less."""
    share = max(1, available_cores() // workers)
    return {name: str(min(share, _number(os.environ.get(name)) or share)) for name in _THREADS}


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None
