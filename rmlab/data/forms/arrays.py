"""arrays: a folder with `embeddings` [prompts, responses, dim] and `rewards` [prompts, responses].

Each is a .npy or .pt file; either once, to be split by hash, or for train and for test apart, such as
`train_embeddings.npy`, `embeddings_train.npy` or `train/embeddings.npy`. There are no texts: prompts and
responses have their place as their name. .npy files are mapped; .pt files must hold one tensor and are read
in a child process, without running code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rmlab.errors import InputError
from rmlab.storage.untrusted import read_tensor

_NAME = re.compile(r"(?:(train|test)[/_.-])?(embeddings|rewards)(?:[_.-](train|test))?\.(npy|pt)")
_ALL = "all"  # in place of train or test
_AT_ONCE = 2**24  # values checked at once


@dataclass(frozen=True)
class ArraysSplit:
    """embeddings: [p, k, d] floats; rewards: [p, k] float64, finite; file: of the embeddings."""

    embeddings: np.ndarray
    rewards: np.ndarray
    file: Path


@dataclass(frozen=True)
class Arrays:
    """splits: by train and test, or all. An answer's id is split-prompt-response, a prompt's split-prompt."""

    path: Path
    splits: dict[str, ArraysSplit]

    @property
    def dimension(self) -> int:
        return int(next(iter(self.splits.values())).embeddings.shape[2])

    def prompts(self) -> Iterator[tuple[str, str | None]]:
        """(prompt_id, split) of each; None where the folder has one set."""
        for name, split in self.splits.items():
            for i in range(len(split.rewards)):
                yield f"{name}-{i}", None if name == _ALL else name

    def answers(self, prompt_id: str) -> list[tuple[str, str]] | None:
        """(text, response_id) of each answer."""
        if prompt_id not in self:
            return None
        k = self.splits[prompt_id.partition("-")[0]].rewards.shape[1]
        return [(f"response {j} to prompt {prompt_id}", f"{prompt_id}-{j}") for j in range(k)]

    def __contains__(self, prompt_id: str) -> bool:
        name, _, i = prompt_id.partition("-")
        return name in self.splits and _is_place(i) and int(i) < len(self.splits[name].rewards)

    def place(self, response_id: str) -> tuple[str, int, int] | None:
        """(split, prompt, response) of an id; None of one that is of elsewhere."""
        name, _, rest = response_id.partition("-")
        i, _, j = rest.partition("-")
        if name not in self.splits or not (_is_place(i) and _is_place(j)):
            return None
        p, k = self.splits[name].rewards.shape
        return (name, int(i), int(j)) if int(i) < p and int(j) < k else None

    def score(self, response_id: str) -> float | None:
        place = self.place(response_id)
        return float(self.splits[place[0]].rewards[place[1:]]) if place else None

    @property
    def n_answers(self) -> int:
        return sum(split.rewards.size for split in self.splits.values())


def _is_place(text: str) -> bool:
    """A place in an array, written as this module writes it."""
    return text.isascii() and text.isdecimal() and len(text) < 18 and str(int(text)) == text


def is_arrays(path: Path) -> bool:
    return path.is_dir() and bool(_files(path))


def open_arrays(path: Path) -> Arrays:
    """Opens the arrays and checks their axes against each other, and that the rewards are numbers."""
    files = _files(path)
    if not files:
        raise InputError(f"{path} has no embeddings.npy and rewards.npy (or .pt)")
    names = sorted({split for split, _ in files}, key=("train", "test", _ALL).index)
    if len(names) > 1 and _ALL in names:
        raise InputError(f"{path} has arrays for {', '.join(names)}; give one set, or train and test apart")
    splits = {name: _open_split(path, files, name) for name in names}
    widths = {name: split.embeddings.shape[2] for name, split in splits.items()}
    if len(set(widths.values())) > 1:
        raise InputError(f"{path}: embeddings of train are {widths['train']} wide, of test {widths['test']}")
    return Arrays(path, splits)


def check_vectors(arrays: Arrays) -> None:
    """InputError that names the first embedding with NaN or infinity."""
    for split in arrays.splits.values():
        p, k, d = split.embeddings.shape
        step = max(1, _AT_ONCE // (k * d))
        for start in range(0, p, step):
            bad = ~np.isfinite(split.embeddings[start : start + step]).all(axis=2)
            if bad.any():
                i, j = np.argwhere(bad)[0]
                raise InputError(
                    f"{split.file}, prompt {start + i}, response {j}: its embedding has NaN or infinity"
                )


def _files(path: Path) -> dict[tuple[str, str], Path]:
    """(split, embeddings or rewards) -> file"""
    found: dict[tuple[str, str], Path] = {}
    for file in sorted([*path.glob("*.*"), *path.glob("*/*.*")]):
        known = _NAME.fullmatch(file.relative_to(path).as_posix())
        if known:
            key = (known[1] or known[3] or _ALL, known[2])
            if key in found:
                raise InputError(f"{path}: {found[key].name} and {file.name} are of the same name; keep one")
            found[key] = file
    return found


def _open_split(path: Path, files: dict[tuple[str, str], Path], name: str) -> ArraysSplit:
    for what, other in (("embeddings", "rewards"), ("rewards", "embeddings")):
        if (name, what) not in files:
            raise InputError(f"{files[name, other]} is alone: {path} has no {what} beside it")
    embeddings, rewards = (_open(files[name, what]) for what in ("embeddings", "rewards"))
    file, beside = files[name, "embeddings"], files[name, "rewards"]
    _check_kind(embeddings, file, 3, "(prompts, responses, dim)")
    _check_kind(rewards, beside, 2, "(prompts, responses)")
    if embeddings.shape[:2] != rewards.shape:
        raise InputError(
            f"{beside} is {rewards.shape} and {file.name} is {embeddings.shape}: "
            "their (prompts, responses) must be equal"
        )
    if not np.isfinite(rewards).all():
        i, j = np.argwhere(~np.isfinite(rewards))[0]
        raise InputError(
            f"{beside}, prompt {i}, response {j}: the reward is {rewards[i, j]}, not a finite number"
        )
    return ArraysSplit(embeddings, np.asarray(rewards, dtype=np.float64), file)


def _check_kind(array: np.ndarray, file: Path, axes: int, named: str) -> None:
    if array.ndim != axes or 0 in array.shape:
        raise InputError(f"{file} has the shape {array.shape}; it must be {named}")
    is_number = np.issubdtype(array.dtype, np.floating) or (axes == 2 and array.dtype.kind in "iu")
    if not is_number:
        raise InputError(f"{file} holds {array.dtype}, not floats")


def _open(file: Path) -> np.ndarray:
    if file.suffix == ".pt":
        return read_tensor(file)
    try:
        return np.lib.format.open_memmap(file, mode="r")  # np.load would open an archive too
    except Exception as error:  # numpy evaluates the header, which may break its tokenizer
        raise InputError(f"{file} is not a readable array ({str(error) or type(error).__name__})") from None
