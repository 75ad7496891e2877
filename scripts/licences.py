"""The licence that each installed distribution declares, one a line: python licences.py."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, distributions

_CLASSIFIER = "License :: "


def licence(distribution: Distribution) -> str:
    """Its SPDX expression; else its classifiers; else the first line of what it calls its licence."""
    metadata = distribution.metadata
    if expression := metadata.get("License-Expression"):
        return str(expression)
    classifiers = [str(c) for c in metadata.get_all("Classifier") or [] if str(c).startswith(_CLASSIFIER)]
    names = [c.rpartition(" :: ")[2] for c in classifiers if c != "License :: OSI Approved"]
    text = str(metadata.get("License") or "").strip().splitlines()
    return ", ".join(names) or (text[0][:80] if text else "not declared")


def main() -> None:
    found = {re.sub(r"[-_.]+", "-", d.name).lower(): d for d in distributions()}
    for name, distribution in sorted(found.items()):
        print(f"{name} {distribution.version}: {licence(distribution)}")


if __name__ == "__main__":
    main()
