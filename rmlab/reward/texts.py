"""What is given from Python, checked and put together: prompts, responses, artifacts, arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rmlab.data.forms.base import answer_text
from rmlab.data.messages import check_messages
from rmlab.data.reader import check_text
from rmlab.errors import InputError
from rmlab.models.text.rendering import Exchange, Message
from rmlab.storage.artifact import Artifact, open_artifact
from rmlab.storage.digest import digest


def one_prompt(prompt: Any, responses: Any) -> list[Any]:
    """The prompt once for each response; once where they are no list, which `as_exchanges` then says."""
    return [prompt] * (len(responses) if _is_listed(responses) else 1)


def as_exchanges(prompts: Any, responses: Any) -> list[Exchange]:
    """[n] prompts, as texts or messages, and [n] responses -> exchanges; errors name the first bad one."""
    for name, given in (("prompts", prompts), ("responses", responses)):
        if not _is_listed(given):
            raise InputError(
                f"{name} must be a list, one entry for each response, got {type(given).__name__}"
            )
    prompts, responses = _values(prompts), _values(responses)
    if len(prompts) != len(responses):
        raise InputError(
            f"{len(prompts)} prompts and {len(responses)} responses; give a prompt for each response"
        )
    if not prompts:
        raise InputError("there is nothing to score; give at least one prompt with a response")
    return [
        _exchange(prompt, response, k)
        for k, (prompt, response) in enumerate(zip(prompts, responses, strict=True))
    ]


def _is_listed(given: Any) -> bool:
    """True for lists and columns of texts; a text, a mapping, a set and a table are none."""
    if isinstance(given, str | bytes | Mapping) or hasattr(given, "columns"):
        return False
    return all(hasattr(given, name) for name in ("__len__", "__iter__", "__getitem__"))


def _values(given: Any) -> list[Any]:
    """The entries of a list, or of a column of Arrow."""
    return given.to_pylist() if hasattr(given, "to_pylist") else list(given)


def folder_of_model(given: Any) -> Path:
    """The folder that a reward model is read from, or written to; InputError for what is no path."""
    if not isinstance(given, str | Path) or not str(given).strip():
        got = "an empty text" if isinstance(given, str) else type(given).__name__
        raise InputError(
            f"give the folder of a reward model, such as artifacts/fit_rm/NAME, as text or a path; got {got}"
        )
    return Path(given).expanduser()


def artifact_of(given: str | Path | Artifact, or_else: str) -> Artifact:
    """The artifact that is given, or lies in the folder that is; or_else: begins the error for others."""
    if isinstance(given, Artifact):
        return given
    if not isinstance(given, str | Path):
        raise InputError(f"{or_else}, an artifact of embed, or its folder, got {type(given).__name__}")
    return open_artifact(Path(given).expanduser())


def shape_of(x: np.ndarray) -> str:
    """The type and shape of an array, for errors."""
    return f"{x.dtype} of shape {list(x.shape)}"


def _exchange(prompt: Any, response: Any, k: int) -> Exchange:
    where = f"text {k + 1}"
    messages = _messages(prompt, where)
    text = answer_text(_listed(response), "response", where)
    return Exchange(digest(messages), f"text-{k}", messages, text)


def _messages(prompt: Any, where: str) -> list[Message]:
    if isinstance(prompt, str):
        return [{"role": "user", "content": check_text(prompt, "prompt", where)}]
    given = _listed(prompt)
    if not isinstance(given, list):
        raise InputError(f"{where}: 'prompt' must be text or a list of messages, got {type(prompt).__name__}")
    messages = check_messages(given, where)
    if messages[-1]["role"] == "assistant":
        raise InputError(f"{where}: the last message is the assistant's; a prompt ends with the user's")
    return messages


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes) else value
