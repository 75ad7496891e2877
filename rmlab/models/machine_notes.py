"""Notes of what was measured on this machine, kept in the cache; another machine or torch has other notes."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmlab.errors import RmlabError
from rmlab.paths import cache_folder
from rmlab.storage.digest import digest
from rmlab.storage.files import parse_json, read_plain_text, write_json

_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16", "sve")
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


@dataclass(frozen=True)
class MachineNotes:
    """Values by kind and name in a file of the cache. What is damaged there was never measured."""

    file: Path | None  # None where there is no cache

    @classmethod
    def here(cls) -> MachineNotes:
        try:
            return cls(cache_folder("machines") / f"{digest(described_machine())[:16]}.json")
        except RmlabError:  # what needs the cache says so
            return cls(None)

    def all(self, kind: str) -> dict[str, Any]:
        """Returns all values of a kind by name."""
        found = self._read().get(kind)
        return found if isinstance(found, dict) else {}

    def get(self, kind: str, name: str) -> Any:
        return self.all(kind).get(name)

    def put(self, kind: str, name: str, value: Any) -> None:
        """Keeps a value. Where the cache cannot be written, it is measured again next time."""
        if self.file is None:
            return
        values = self._read()
        values = {**values, "machine": described_machine(), kind: {**self.all(kind), name: value}}
        try:
            write_json(self.file, values)
        except (OSError, RmlabError):
            return

    def _read(self) -> dict[str, Any]:
        if self.file is None:
            return {}
        try:
            found = parse_json(read_plain_text(self.file))
        except (OSError, ValueError, RmlabError):
            return {}
        return found if isinstance(found, dict) else {}


def described_machine() -> dict[str, Any]:
    """Returns all that decides how fast products are: processor, cores, GPUs that may be there, and torch."""
    name, flags = _processor()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": name,
        "kind": platform.machine(),
        "flags": [flag for flag in _FLAGS if flag in flags],
        "cores": cores,
        "gpu": may_have_gpu(),
        "torch": importlib.metadata.version("torch"),
    }


def may_have_gpu() -> bool:
    """Tells whether a driver of a GPU is there, without importing torch."""
    return any(Path(device).exists() for device in _GPU_DEVICES)


def is_positive(value: Any) -> bool:
    """Tells whether a value that was read is a number above 0."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value > 0


def _processor() -> tuple[str, set[str]]:
    """Returns the name and the flags of the processor, as Linux tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor(), set()
    known = dict(part for line in lines if len(part := [x.strip() for x in line.split(":", 1)]) == 2)
    flags = known.get("flags") or known.get("Features") or ""
    return known.get("model name", platform.processor()), set(flags.split())
