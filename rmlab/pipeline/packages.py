"""Installed packages as a part of identity: by version, or by version and files.

A version counts where it decides which function is computed: the lexicon of a golden reward, the trees that
LightGBM grows, a package that the user's own code imports. It does not count where it changes rounding alone,
as those of torch, of transformers and of scikit-learn's convex fits do; manifests record these versions.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from rmlab.storage.digest import digest, file_digest

ABSENT = "not installed"
_WITH_FILES = " sha256:"
_LEFT_OUT = (".pyc", ".so", ".pyd", ".dylib", ".dll", ".a")  # differ between machines at one version


def version_of(package: str) -> str:
    """The version without its local part, which names a build for a device, as in 2.13.0+cpu."""
    try:
        return importlib.metadata.version(package).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return ABSENT


@cache
def identity_of(package: str) -> str:
    """The version, and the digest of all files but compiled ones: an edited lexicon is another one."""
    try:
        listed = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        return ABSENT
    own = [f for f in listed if f.suffix not in _LEFT_OUT and not f.parts[0].endswith((".dist-info", ".."))]
    places = {file.as_posix(): Path(str(file.locate())) for file in own}
    found = {name: file_digest(place) for name, place in places.items() if place.is_file()}
    return f"{version_of(package)}{_WITH_FILES}{digest(found)}"


def identity_like(known: str, package: str) -> str:
    """The identity that the package has now, with its files if the known one has them."""
    return identity_of(package) if _WITH_FILES in known else version_of(package)


@cache
def packages_of_modules() -> Mapping[str, Sequence[str]]:
    """The installed packages that have a top-level module, by its name."""
    return importlib.metadata.packages_distributions()


def plain_name(package: str) -> str:
    """The name of a package as indexes compare it: in small letters, with one hyphen between its words."""
    return re.sub(r"[-_.]+", "-", package).lower()
