"""Optional packages: which extra of rmlab installs each, whether they are here, and the words for those that
are not."""

from __future__ import annotations

from importlib.util import find_spec

from rmlab.errors import InputError
from rmlab.provenance import install_line

_NOTES = {"vllm": "without a GPU: `make test-vllm` sets it up"}
EXTRAS = {
    "trl": "train",
    "peft": "train",
    "datasets": "train",
    "lightgbm": "trees",
    "vaderSentiment": "sentiment",
    "textblob": "descriptiveness",
    "gguf": "gguf",
    "vllm": "vllm",
    "trackio": "trackio",
    "wandb": "wandb",
    "mlflow": "mlflow",
    "starlette": "serve",
    "uvicorn": "serve",
}


def is_installed(package: str) -> bool:
    """Tells whether a package can be imported, without importing it."""
    try:
        return find_spec(package) is not None
    except ValueError:  # a module that was made by hand, as tests do
        return True


def lacking(what: str, *packages: str, why: object = "") -> InputError:
    """Returns the error of something that needs packages which are not here, or which cannot be imported.

    what: the setting or command that needs them; why: the reason, where they are here.
    """
    reason = f" ({why})" if why else ""
    note = f" ({_NOTES[packages[0]]})" if packages[0] in _NOTES else ""
    run = install_line(EXTRAS[packages[0]])
    return InputError(f"{what} needs {' and '.join(packages)}{reason}; run: {run}{note}")


def require(what: str, *packages: str) -> None:
    """Raises InputError unless all of these packages are installed; they are of one extra."""
    if missing := [package for package in packages if not is_installed(package)]:
        raise lacking(what, *missing)
