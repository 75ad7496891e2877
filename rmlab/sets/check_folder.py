"""The files of a set as such: those that belong to it, their checksums, card and licence."""

from __future__ import annotations

from rmlab.artifacts.fingerprint import file_digest
from rmlab.artifacts.set_record import CARD, LICENSE, EmbeddingSet
from rmlab.plain_files import read_plain_text
from rmlab.sets.card import front_matter
from rmlab.sets.checklist import Check

LARGE = 50_000_000  # bytes of a file that hosts of Git repositories begin to refuse


def check_files(opened: EmbeddingSet, check: Check) -> None:
    """Every policy has its responses and scores, and the vectors of every embedder."""
    listed, expected = set(opened.record.files), set(opened.expected_files())
    for name in sorted(expected - listed):
        check.fail(f"set.json lists no {name}; every policy needs its responses, scores and all embedders")
    for name in sorted(listed - expected):
        check.fail(f"set.json lists {name}, which belongs to none of its policies and embedders")
    for name in sorted(expected & listed):
        if not (opened.folder / name).is_file():
            check.fail(f"{name} is missing")
    for file in sorted(opened.folder.glob("*.parquet")):
        if file.name not in expected:
            check.fail(f"{file.name} belongs to none of the policies and embedders; take it out")


def check_checksums(opened: EmbeddingSet, check: Check) -> None:
    for name in opened.expected_files():
        file, known = opened.folder / name, opened.record.files.get(name)
        if known is None or not file.is_file():
            continue
        size = file.stat().st_size
        if size != known.bytes:
            check.fail(f"{name} has {size:,} bytes, but set.json says {known.bytes:,}")
        elif file_digest(file) != known.sha256:
            check.fail(f"{name} has another checksum than set.json says")


def check_card(opened: EmbeddingSet, check: Check) -> None:
    card, license_file = opened.folder / CARD, opened.folder / LICENSE
    try:
        found = front_matter(read_plain_text(card)).get("license")
        if not isinstance(found, str) or not found.strip():
            check.fail(f"{CARD}: its front matter has no license; add a line such as license: cc-by-4.0")
        elif found.lower() != opened.record.license.lower():
            check.fail(f"{CARD}: its license is {found}, but set.json says {opened.record.license}")
    except (OSError, ValueError) as error:
        check.fail(f"{CARD} cannot be used: {getattr(error, 'strerror', None) or error}")
    try:
        if not read_plain_text(license_file).strip():
            check.fail(f"{LICENSE} is empty; put the licence's text there")
    except (OSError, ValueError) as error:
        check.fail(f"{LICENSE} cannot be read: {getattr(error, 'strerror', None) or error}")


def size_notes(opened: EmbeddingSet) -> list[str]:
    sizes = {name: file.bytes for name, file in opened.record.files.items()}
    notes = [f"{sum(sizes.values()) / 1e6:.1f} MB in {len(sizes)} Parquet files"]
    large = [name for name, size in sizes.items() if size > LARGE]
    if large:
        notes.append(f"{', '.join(large)}: over {LARGE / 1e6:.0f} MB, which hosts of Git repositories refuse")
    return notes
