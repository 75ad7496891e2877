"""The one tensor in a stranger's `.pt` file, read within the bounds of untrusted_child.py."""

from __future__ import annotations

import io
import zipfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rmlab.storage.untrusted_bounds import PIECE, Refused, tell


def answer(to: Connection, asked: dict[str, Any], size: int) -> None:
    """The type and shape of the one tensor in a `.pt` file; then its bytes.

    This is the one place where rmlab reads a pickle: the study's public code keeps its embeddings so.
    weights_only is torch's restricted reader: it builds tensors and plain containers, refuses every other
    name that the file asks for, and so runs nothing of it (before torch 2.6 it could be made to; rmlab needs
    2.11).
    """
    path = Path(asked["path"])
    if zipfile.is_zipfile(path):  # older versions of torch wrote no zip
        with zipfile.ZipFile(path) as packed:
            if sum(part.file_size for part in packed.infolist()) > size:  # torch packs nothing
                raise Refused("unpacks to more than it has; write it with torch.save(tensor, path)")
    try:
        # no pickle of a stranger is run: weights_only, as told above
        found: Any = torch.load(io.FileIO(path), map_location="cpu", weights_only=True)
    except Exception:  # its own words would advise to read the file without that
        raise Refused("is not a plain tensor; write it with torch.save(tensor, path)") from None
    if not isinstance(found, torch.Tensor):
        raise Refused(f"holds a {type(found).__name__}, not one tensor")
    try:
        if found.numel() * found.element_size() > size:
            raise Refused(f"declares {found.numel():,} values and has not as many; save them all")
        found = found.detach().contiguous()
        array = (found.float() if found.dtype == torch.bfloat16 else found).numpy()
    except (RuntimeError, TypeError, NotImplementedError):
        raise Refused(f"holds a tensor of {found.layout}, not of plain numbers") from None
    tell(to, {"dtype": array.dtype.str, "shape": array.shape})
    data = memoryview(array.reshape(-1).view(np.uint8))
    for start in range(0, len(data), PIECE):
        tell(to, {"piece": True}, data[start : start + PIECE])
