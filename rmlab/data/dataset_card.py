"""The card of a dataset in a folder: it may name the data files of each split, and must lead nowhere else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from rmlab.errors import InputError
from rmlab.storage.files import read_plain_text

_CARDS = ("README.md", ".huggingface.yaml")  # the first has its settings between lines of ---
_SETTINGS = re.compile(r"\s*---[\r\n]+(.*?)[\r\n]+---", re.DOTALL)
_PLACES = ("data_files", "data_dir")


def check_cards(folder: Path) -> None:
    """Raises InputError if a card names data outside of its folder, which `datasets` would read or fetch."""
    for name in _CARDS:
        card = folder / name
        configs = _settings(card).get("configs")
        for config in configs if isinstance(configs, list) else []:
            places = [config.get(key) for key in _PLACES] if isinstance(config, dict) else []
            if outside := [place for place in _texts(places) if _leads_out(place)]:
                raise InputError(
                    f"{card} names data outside of its folder ({outside[0]}); put it beside the card"
                )


def _settings(card: Path) -> dict[str, Any]:
    """The settings of a card; none if there is no card."""
    try:
        text = read_plain_text(card) if card.is_file() else ""
        if card.suffix == ".md":
            found = _SETTINGS.match(text)
            text = found[1] if found else ""
        values = yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{card} cannot be read ({why}); mend or remove it") from None
    return values if isinstance(values, dict) else {}


def _texts(value: Any) -> list[str]:
    """Every text within lists and mappings, each of which is looked at once, however often it is named."""
    found: list[str] = []
    left, seen = [value], set()
    while left:
        part = left.pop()
        if isinstance(part, str):
            found.append(part)
        elif isinstance(part, list | dict) and id(part) not in seen:
            seen.add(id(part))
            left += part.values() if isinstance(part, dict) else part
    return found


def _leads_out(place: str) -> bool:
    return "://" in place or place.startswith(("/", "~")) or ".." in Path(place).parts
