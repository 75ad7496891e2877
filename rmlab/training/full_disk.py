"""A disk that takes no more, as the libraries that write weights report it: not as the system's own error."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

_TORCH = ("PytorchStreamWriter", "inline_container.cc")  # torch.save, which does not say why it failed


@contextmanager
def as_os_error() -> Iterator[None]:
    """What is raised within and tells of the disk is raised as the OSError that it stands for."""
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
