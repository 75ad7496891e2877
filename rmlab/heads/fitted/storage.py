"""A head in a folder: head.json says what it is, the payload file beside it holds the numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from rmlab.errors import InputError
from rmlab.storage.digest import sealed, unsealed
from rmlab.storage.files import json_text, parse_json, read_plain_text

FORMAT = 4
DESCRIPTION, TENSORS, TREES = "head.json", "head.safetensors", "head.txt"
HEAD = "head"  # the folder of a head within an artifact, or within a saved reward model
_SEAL = "digest"  # of head.json, where sha256 is that of the numbers


def broken(folder: Path, what: str) -> InputError:
    return InputError(f"cannot load the head in {folder}: {what}; fit the head again")


def write_head(folder: Path, payload_name: str, payload: bytes, description: Mapping[str, Any]) -> None:
    """The description is written last: a folder that holds it holds the whole head."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / payload_name).write_bytes(payload)
    write_description(folder, {"format": FORMAT, **description, "sha256": sha256(payload).hexdigest()})


def members_digest(folder: Path, names: Sequence[str]) -> str:
    """Digest of the head.json files of all members; each of them holds the digest of its member's numbers."""
    return sha256(b"".join((folder / name / DESCRIPTION).read_bytes() for name in names)).hexdigest()


def write_members(folder: Path, members: Mapping[str, Any], description: Mapping[str, Any]) -> None:
    """members: heads by the name of their folder. Their folders, then head.json, which vouches for them."""
    for name, member in members.items():
        member.save(folder / name)
    write_description(
        folder, {"format": FORMAT, **description, "sha256": members_digest(folder, list(members))}
    )


def check_members(folder: Path, names: Sequence[str], description: Mapping[str, Any]) -> None:
    if members_digest(folder, names) != description["sha256"]:
        raise broken(folder, f"the {DESCRIPTION} of a member is not the file that was saved")


def write_description(folder: Path, record: Mapping[str, Any]) -> None:
    """Writes head.json with a seal: a number in it that rots must not go unseen."""
    (folder / DESCRIPTION).write_text(json_text(sealed(record, _SEAL)), encoding="utf-8")


def read_description(folder: Path) -> dict[str, Any]:
    """The content of head.json, once it is known to be an object of this format."""
    try:
        text = read_plain_text(folder / DESCRIPTION)
        description = parse_json(text)
    except OSError:
        raise broken(folder, f"no readable {DESCRIPTION}") from None
    except ValueError:
        raise broken(folder, f"{DESCRIPTION} is not JSON") from None
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise broken(folder, f"{DESCRIPTION} is not of format {FORMAT}")
    try:
        return unsealed(text, _SEAL)
    except ValueError:
        raise broken(folder, f"{DESCRIPTION} is not the file that was saved") from None


def read_payload(folder: Path, payload_name: str, description: Mapping[str, Any]) -> bytes:
    file = folder / payload_name
    try:
        if not file.is_file():  # no pipe or device is waited for
            raise FileNotFoundError
        payload = file.read_bytes()
    except OSError:
        raise broken(folder, f"no readable {payload_name}") from None
    if sha256(payload).hexdigest() != description.get("sha256"):
        raise broken(folder, f"{payload_name} is not the file that was saved")
    return payload


def number_of(description: Mapping[str, Any], name: str) -> float:
    """ValueError where it is no finite number."""
    found = description[name]
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise ValueError(f"{name} is no finite number")
    return float(found)


def scale_of(description: Mapping[str, Any]) -> dict[str, Any]:
    """The gain, bias and temperature of a head; ValueError where one is no number, or no temperature."""
    found = {name: number_of(description, name) for name in ("gain", "bias", "temperature")}
    if found["temperature"] <= 0:
        raise ValueError("temperature is no number > 0")
    return found


def check_shapes(tensors: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """ValueError where a tensor is missing, has another shape, or holds what is no number."""
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tensor.shape != shape or 0 in shape:
            raise ValueError(f"{name} has the shape {list(tensor.shape)}, not {list(shape)}")
        if tensor.dtype.kind != "f" or not np.isfinite(tensor).all():
            raise ValueError(f"{name} holds what is no finite number")


def write_tensors(folder: Path, tensors: Mapping[str, np.ndarray], description: Mapping[str, Any]) -> None:
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    shapes = {name: list(array.shape) for name, array in arrays.items()}
    write_head(folder, TENSORS, save(arrays), {**description, "shapes": shapes})


def read_tensors(folder: Path, description: Mapping[str, Any]) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(read_payload(folder, TENSORS, description))
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError):  # also of a type numpy has not
        raise broken(folder, f"{TENSORS} is not a safetensors file") from None
    if {name: list(tensor.shape) for name, tensor in tensors.items()} != description.get("shapes"):
        raise broken(folder, f"{DESCRIPTION} and {TENSORS} differ in shapes")
    return {name: np.array(tensor) for name, tensor in tensors.items()}
