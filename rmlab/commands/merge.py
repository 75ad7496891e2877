"""rmlab merge: several embedding sets as one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rmlab.artifacts.files import plain
from rmlab.artifacts.set_record import LICENSE, EmbeddingSet, open_set
from rmlab.commands.release import summary
from rmlab.errors import ConfigError, InputError
from rmlab.sets.folder import check_free, new_set_folder
from rmlab.sets.merge import merge
from rmlab.sets.validate import validate
from rmlab.sets.write import Words
from rmlab.shipped import user_path


def merge_command(out: Path, sets: Sequence[str], license: str | None, as_json: bool, force: bool) -> None:
    if len(sets) < 2:
        raise ConfigError("merge joins two sets or more: rmlab merge OUT SET SET")
    check_free(out, force)
    opened = [_opened(user_path(place)) for place in sets]
    words = _words(out.resolve().name, opened, license)
    with new_set_folder(out, force) as folder:
        merge(folder, opened, words)
        for failure in validate(folder).failures[:1]:
            raise InputError(f"the sets do not go together: {failure}")
    made = open_set(out)
    if as_json:
        document = {"set": str(out), "state": "done", "record": made.record.to_json()}
        print(json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print(f"set: {out}, {summary(made)}")


def _opened(folder: Path) -> EmbeddingSet:
    for failure in validate(folder).failures[:1]:
        raise InputError(f"{folder} is not a valid embedding set: {failure}")
    return open_set(folder)


def _words(name: str, sets: Sequence[EmbeddingSet], license: str | None) -> Words:
    """The licence that all sets share, or the one that is given; the texts of all, each once."""
    names = list(dict.fromkeys(s.record.license for s in sets))
    if license is None and len({n.lower() for n in names}) > 1:
        raise InputError(
            f"the sets have different licences, {', '.join(names)}; give the one of the whole: --license NAME"
        )
    texts = dict.fromkeys((s.folder / LICENSE).read_text(encoding="utf-8") for s in sets)
    parts = "; ".join(dict.fromkeys(s.record.name for s in sets))
    chosen = names[0] if license is None else license
    return Words(name, chosen, "\n".join(texts), f"Merged from these embedding sets: {parts}.")
