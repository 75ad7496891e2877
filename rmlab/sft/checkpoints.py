"""Checkpoints that are whole or absent.

What Trainer keeps of the optimiser and the random numbers are files of torch.save. They are written and
read by this program alone, in the artifact's scratch folder, are loaded as weights only, and go when the
stage is done: nothing of them is in a finished artifact.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rmlab.removal import remove_scratch
from rmlab.storage.integrity import is_as_sealed

KEPT = 2  # a torn newest one leaves the one before


def last_whole_checkpoint(work: Path) -> Path | None:
    """The newest checkpoint that is as it was sealed; those that are not are removed."""
    found = sorted(work.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]))
    whole = [folder for folder in found if is_as_sealed(folder)]
    for folder in set(found) - set(whole):
        remove_scratch(folder)  # each process of a training does this
    return whole[-1] if whole else None


Tell = Callable[[int, int], None]  # told the optimiser steps done, and how many there are

_TORCH = ("PytorchStreamWriter", "inline_container.cc")  # torch.save, which does not say why it failed


@contextmanager
def as_os_error() -> Iterator[None]:
    """Turns errors that libraries raise for a full or failing disk into an OSError."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        said = str(error)
        if "no space left" in said.lower():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        if any(word in said for word in _TORCH):
            raise OSError(errno.EIO, "a checkpoint could not be written") from error
        raise
