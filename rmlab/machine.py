"""This process among those of other machines that share its files, and whether another one has ended."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import traceback
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

_SHARING = {("multiprocessing", "synchronize.py"), ("multiprocessing", "shared_memory.py")}
_LONGEST = 24  # characters of a machine's name within a file name


def this_process() -> dict[str, Any]:
    """The marks that tell this process from all others. system: that whose process numbers count."""
    return {"host": platform.node(), "system": _system(), "process": os.getpid()}


def label() -> str:
    """MACHINE-PROCESS, for the name of a temporary file that no other process of any machine has."""
    return f"{_host_label()}-{os.getpid()}"


@cache
def _host_label() -> str:
    host = platform.node()
    plain = re.sub(r"[^A-Za-z0-9-]", "-", host) or "host"
    if plain == host and len(plain) <= _LONGEST:
        return plain
    return f"{plain[: _LONGEST - 9]}-{hashlib.sha256(host.encode()).hexdigest()[:8]}"


@cache
def _system() -> str:
    """Containers may share a name, and have processes of the same numbers."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def has_ended(process: Mapping[str, Any]) -> bool:
    """True if the process that `this_process` described is known to have ended; one elsewhere never is."""
    here = this_process()
    if any(process.get(key) != here[key] for key in ("host", "system")):
        return False
    number = process.get("process")
    if type(number) is not int or number <= 0:
        return False
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False
    return False


def is_of_shared_memory(error: Exception) -> bool:
    """True for an error of the system where Python makes semaphores and memory that processes share.

    Such an error is of no file of the user's, though it may say that a file system is full or read-only.
    """
    if not isinstance(error, OSError):
        return False
    return any(
        Path(frame.filename).parts[-2:] in _SHARING for frame in traceback.extract_tb(error.__traceback__)
    )
