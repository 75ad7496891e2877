"""rmlab doctor shows what this machine can run, and the commands that install what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from pathlib import Path
from typing import Any

from rmlab.config.optional_packages import EXTRAS
from rmlab.errors import RmlabError
from rmlab.models.bundled import smollm2
from rmlab.paths import cache_folder
from rmlab.provenance import install_line
from rmlab.terminal import say, say_json

_USES = {
    "trl": "sft",
    "peft": "sft with LoRA",
    "lightgbm": "head=trees",
    "vaderSentiment": "golden=sentiment",
    "textblob": "golden=descriptiveness",
    "gguf": f"model={smollm2.NAME}",
}


def doctor_command(as_json: bool) -> None:
    """Prints the checks of this machine, as lines or JSON."""
    checks = [*_machine(), *_packages(), _default_model()]
    if as_json:
        say_json({"checks": checks})
        return
    for check in checks:
        mark = "ok     " if check["ok"] else "missing"
        say(f"{mark}  {check['what']}: {check['found']}")
        if check["fix"] and not check["ok"]:
            say(f"           run: {check['fix']}")


def _check(what: str, ok: bool, found: str, fix: str = "") -> dict[str, Any]:
    return {"what": what, "ok": ok, "found": found, "fix": fix}


def _machine() -> list[dict[str, Any]]:
    cache, free = cache_folder("models"), shutil.disk_usage(Path.cwd()).free / 2**30
    return [
        _check("python", True, platform.python_version()),
        _check("cores", True, str(os.cpu_count())),
        _memory(),
        _check("disk here", free > 2, f"{free:.0f} GiB free", "free at least 2 GiB"),
        _check("cache", os.access(cache, os.W_OK), str(cache), "point RMLAB_CACHE at a folder you can write"),
        _torch(),
    ]


def _memory() -> dict[str, Any]:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return _check("memory", total > 3.5, f"{total:.0f} GiB", "use a machine with at least 4 GiB")


def _torch() -> dict[str, Any]:
    try:
        import torch
    except (ImportError, OSError) as error:
        return _check("torch", False, str(error), "apt-get install libgomp1, then make setup")
    if torch.cuda.is_available():
        return _check(
            "torch", True, f"{torch.__version__}, {torch.cuda.get_device_name(0)}: use dtype=bfloat16"
        )
    return _check("torch", True, f"{torch.__version__}, CPU only: small models")


def _packages() -> list[dict[str, Any]]:
    checks = []
    for package, use in _USES.items():
        try:
            found, ok = importlib.metadata.version(package), True
        except importlib.metadata.PackageNotFoundError:
            found, ok = "not installed", False
        checks.append(_check(f"{package} ({use})", ok, found, install_line(EXTRAS[package])))
    return checks


def _default_model() -> dict[str, Any]:
    what = f"model={smollm2.NAME}"
    try:
        file = smollm2.gguf_file()
    except RmlabError:
        return _check(what, False, "not installed", smollm2.INSTALL)
    ready = smollm2.is_converted()
    state = "converted" if ready else "converted to safetensors at its first use"
    return _check(what, True, f"{file.name}, {state}")
