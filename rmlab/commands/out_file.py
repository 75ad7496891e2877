"""The option --out FILE: whether the file can be written is checked before anything is scored."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rmlab.errors import ConfigError, InputError
from rmlab.paths import nearest


def check_out_file(out: Path, endings: Sequence[str], source: Path | None) -> None:
    """Raises an error unless the file can be written. source: the file that is read, if there is one."""
    if out.suffix not in endings:
        raise ConfigError(f"--out {out}: write a file that ends with {' or '.join(endings)}")
    try:
        if out.is_dir():
            raise ConfigError(f"--out {out} is a folder; give the name of a file")
        there = nearest(out.absolute().parent)
        if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
            raise InputError(f"--out {out}: nothing can be written into {there}; give another file")
        if source is not None and out.exists() and source.exists() and out.samefile(source):
            raise ConfigError(f"--out {out} is the file that is scored; give another name")
    except OSError as error:  # of a folder that may not be looked into, or a name that is too long
        raise unwritable(out, error) from None


def unwritable(out: Path, error: OSError) -> InputError:
    """The error of a file that cannot be written."""
    why = os.strerror(error.errno) if error.errno else str(error)
    return InputError(f"--out {out} cannot be written ({why}); give another file")
