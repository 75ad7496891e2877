"""Whether a set that is there is still what it would be made as, at the cost of a look at its files."""

from __future__ import annotations

from rmlab.artifacts.set_record import CARD, LICENSE, EmbeddingSet
from rmlab.sets.write import Words


def are_whole(opened: EmbeddingSet) -> bool:
    """Whether every table is there, of the size that set.json says."""
    files = opened.record.files
    places = {name: opened.folder / name for name in opened.expected_files()}
    return all(
        name in files and place.is_file() and place.stat().st_size == files[name].bytes
        for name, place in places.items()
    )


def says(opened: EmbeddingSet, words: Words) -> bool:
    """Whether licence and description are these; the rest of the card may have been edited by hand."""
    try:
        card = (opened.folder / CARD).read_text(encoding="utf-8")
        license_text = (opened.folder / LICENSE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    is_described = words.description.strip() in card
    return is_described and opened.record.license == words.license and license_text == words.license_text
