"""rmlab validate: whether a folder is a sound embedding set."""

from __future__ import annotations

import json
from pathlib import Path

from rmlab.artifacts.files import plain
from rmlab.errors import InputError
from rmlab.sets.checklist import OK, Checklist
from rmlab.sets.validate import validate
from rmlab.shipped import user_path

_SHOWN = 20  # failures of one check that are printed; --json has all


def validate_command(path: Path, as_json: bool) -> None:
    """Prints the list; InputError where anything failed."""
    found = validate(user_path(str(path)))
    if as_json:
        print(json.dumps(plain(found.to_json()), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _print(found)
    if n := len(found.failures):
        what = found.failures[0] if n == 1 else f"{n} failures, the first: {found.failures[0]}"
        raise InputError(f"{path} is not a valid embedding set: {what}")


def _print(found: Checklist) -> None:
    for check in found.checks:
        reason = f" ({check.skipped})" if check.skipped and check.state != OK else ""
        print(f"{check.state:>11}  {check.name}: {check.meaning}{reason}")
        for failure in check.failures[:_SHOWN]:
            print(f"{'':>13}{failure}")
        if len(check.failures) > _SHOWN:
            print(f"{'':>13}and {len(check.failures) - _SHOWN} more")
    for note in found.notes:
        print(f"{'note':>11}  {note}")
