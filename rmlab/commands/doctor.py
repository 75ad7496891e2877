"""rmlab doctor shows what this machine can run, and the commands that install what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from pathlib import Path
from typing import Any

from rmlab.config.optional_packages import EXTRAS
from rmlab.errors import InputError, RmlabError
from rmlab.models.bundled import smollm2
from rmlab.models.compute import available_cores, has_gpu
from rmlab.models.precision import GAIN, NARROW, gpu_has_bfloat16
from rmlab.models.product_rates import Rates, known_rates, measure_rows, memory_rate, rates
from rmlab.models.weights import widths_of
from rmlab.paths import cache_folder
from rmlab.provenance import install_line
from rmlab.terminal import note, say, say_json, say_table

ROWS = (1, 8, 64, 512, 2048)  # of the products that are measured: from one text's next token to many texts
_USES = {
    "trl": "sft",
    "peft": "sft with LoRA",
    "lightgbm": "head=trees",
    "vaderSentiment": "golden=sentiment",
    "textblob": "golden=descriptiveness",
    "gguf": f"model={smollm2.NAME}",
}


def doctor_command(as_json: bool, measured_model: str | None) -> None:
    """Prints the checks of this machine, as lines or JSON. measured_model: the products of its shapes are
    measured."""
    speed = measured(measured_model) if measured_model else None
    checks = [*_machine(), *_packages(), _default_model(), _precision()]
    if as_json:
        say_json({"checks": checks} | ({"speed": speed} if speed else {}))
        return
    for check in checks:
        mark = "ok     " if check["ok"] else "missing"
        say(f"{mark}  {check['what']}: {check['found']}")
        if check["fix"] and not check["ok"]:
            say(f"           run: {check['fix']}")
    if speed:
        _show(speed)


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
        return _check("torch", True, f"{torch.__version__}, {torch.cuda.get_device_name(0)}")
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


def _precision() -> dict[str, Any]:
    """Tells what dtype=auto is on this machine, as far as that was measured."""
    what = "dtype=auto"
    try:
        is_gpu = has_gpu()
    except (ImportError, OSError):
        return _check(what, True, "not known without torch")
    if is_gpu:
        return _check(what, True, f"{'bfloat16' if gpu_has_bfloat16() else 'float32'} on the GPU")
    known = known_rates()
    if not known:
        return _check(what, True, "not measured yet; `rmlab doctor --measure` shows it")
    found = [
        f"{_dtype(rates, shape)} for models of {shape} ({rates.gain:.1f} times as fast in bfloat16)"
        for shape, rates in known.items()
    ]
    return _check(what, True, "; ".join(found))


def _dtype(found: Rates, shape: str) -> str:
    is_wide = int(shape.partition("x")[0]) >= NARROW
    return "bfloat16" if is_wide and found.gain >= GAIN else "float32"


def measured(model: str) -> dict[str, Any]:
    """Measures products of a model's shapes by the number of rows, and the memory."""
    widths = widths_of(model)
    if widths is None:
        raise InputError(
            f"model={model}: its shapes are not known here; give a local folder, or a model of a package"
        )
    note("measuring products and memory for some seconds")
    rates(*widths)
    return {
        "model": model,
        "hidden_size": widths[0],
        "intermediate_size": widths[1],
        "threads": available_cores(),
        "memory_gb_s": round(memory_rate(), 1),
        "products": [{"rows": n} | _rounded(measure_rows(*widths, n)) for n in ROWS],
    }


def _rounded(found: Rates) -> dict[str, float]:
    return {
        "float32_gflop_s": round(found.float32, 1),
        "bfloat16_gflop_s": round(found.bfloat16, 1),
        "gain": round(found.gain, 2),
    }


def _show(speed: dict[str, Any]) -> None:
    title = (
        f"products of {speed['model']} ({speed['hidden_size']} x {speed['intermediate_size']}) on "
        f"{speed['threads']} cores; memory {speed['memory_gb_s']:.0f} GB/s"
    )
    columns = ["rows", "float32, GFLOP/s", "bfloat16, GFLOP/s", "times"]
    rows = [
        [f"{p[key]:,.{digits}f}" for key, digits in zip(p, (0, 0, 0, 1), strict=True)]
        for p in speed["products"]
    ]
    say_table(columns, rows, title)
