"""Rows of a Hugging Face dataset, given as a saved dataset, a folder of data files, or a name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rmlab.errors import InputError
from rmlab.storage.digest import digest, file_digest
from rmlab.storage.integrity import folder_digest_of

Row = dict[str, Any]
_SAVED = ("dataset_dict.json", "state.json")
_DATA = (".jsonl", ".json", ".csv", ".parquet", ".arrow", ".gz", ".ndjson", ".txt")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_SPLITS = {"train": "train", "test": "test", "valid": "test", "eval": "test", "dev": "test"}


def is_dataset(path: Path) -> bool:
    """True for a folder, and for a text such as ORG/NAME that is not a path."""
    return path.is_dir() or (not path.exists() and is_name(str(path)))


def is_name(text: str) -> bool:
    return bool(_NAME.fullmatch(text)) and not text.lower().endswith(_DATA)


def dataset_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Yields (number, row), counted from 1 over all splits; if there are several, rows get the column
    `split`."""
    splits = open_dataset(path)
    number = 0
    for name, rows in splits.items():
        split = {"split": _split(path, name)} if len(splits) > 1 else {}
        for row in _read(path, rows):
            number += 1
            yield number, {**row, **({} if row.get("split") else split)}


def _read(path: Path, rows: Any) -> Iterator[Row]:
    try:
        yield from rows
    except Exception as error:  # such as a damaged part, or a missing decoder
        raise InputError(_explain(path, error)) from None


def open_dataset(path: Path) -> dict[str, Any]:
    """The datasets.Dataset of each split, from plain data files only: no code of a dataset is ever run."""
    try:
        import datasets
    except ImportError:
        raise InputError(f'{path} needs the package datasets: pip install "rmlab[train]"') from None
    _check_folder(path)
    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        if any((path / name).is_file() for name in _SAVED):
            found = datasets.load_from_disk(str(path))
        else:
            cache = _cache(path, datasets.config.HF_DATASETS_CACHE)
            found = datasets.load_dataset(str(path), cache_dir=cache)
    except Exception as error:  # such as no connection, an unknown name or a damaged file
        raise InputError(_explain(path, error)) from None
    finally:
        if shown:
            datasets.enable_progress_bars()
    return dict(found) if isinstance(found, dict) else {"train": found}


def _cache(path: Path, folder: Path) -> str | None:
    """A cache folder named by content, as `datasets` itself recognises files only by name and time."""
    return str(Path(folder) / "by_content" / folder_digest_of(path)[:24]) if path.is_dir() else None


def dataset_identity(path: Path) -> str:
    """A digest of the data of a dataset given by name."""
    splits = open_dataset(path)
    files = {
        name: [file_digest(Path(f["filename"])) for f in rows.cache_files] for name, rows in splits.items()
    }
    return f"sha256:{digest(files)}"


def _check_folder(path: Path) -> None:
    if not path.is_dir():
        return
    files = [p for p in path.rglob("*") if p.is_file() and not p.name.startswith(".")]
    if not any(p.name.lower().endswith(_DATA) for p in files):
        raise InputError(f"{path} is a folder without data files ({', '.join(_DATA[:5])})")


def _explain(path: Path, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    if path.is_dir():
        return f"{path} is not a dataset that can be read ({reason})"
    return (
        f"{path} is no file here, and as a dataset it cannot be loaded ({reason}); check the name and the "
        "connection, or give a file"
    )


def _split(path: Path, name: str) -> str:
    for start, split in _SPLITS.items():
        if name.startswith(start):
            return split
    raise InputError(
        f"{path} has a split '{name}', which is neither train nor test; save the rows you want in a file"
    )
