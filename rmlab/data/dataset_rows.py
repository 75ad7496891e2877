"""The files of a Hugging Face dataset, given as a saved dataset, a folder of data files, or a name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rmlab.config.optional_packages import require
from rmlab.data.dataset_card import check_cards
from rmlab.errors import InputError
from rmlab.storage.digest import digest, file_digest
from rmlab.storage.files import parse_json, read_plain_text

_SPLITS_FILE, _STATE = "dataset_dict.json", "state.json"
_DATA = (".jsonl", ".json", ".csv", ".parquet", ".arrow", ".gz", ".ndjson", ".txt")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_SPLITS = {"train": "train", "test": "test", "valid": "test", "eval": "test", "dev": "test"}


def is_dataset(path: Path) -> bool:
    """True for a folder, and for a text such as ORG/NAME that is not a path."""
    return path.is_dir() or (not path.exists() and is_name(str(path)))


def is_name(text: str) -> bool:
    return bool(_NAME.fullmatch(text)) and not text.lower().endswith(_DATA)


def dataset_files(path: Path) -> list[tuple[Path, str | None]]:
    """(file, split) of the data files, in the order of their splits; with one split alone, it is not told.

    They are read as a user's own files are. No code of a dataset is ever run.
    """
    splits = _local(path) if path.is_dir() else {n: _files_of(rows) for n, rows in _fetched(path).items()}
    several = len(splits) > 1
    return [
        (file, _split(path, name) if several else None) for name, files in splits.items() for file in files
    ]


def split_files(folder: Path, wanted: str | None, usual: str) -> list[Path]:
    """The data files of one split of a folder: the wanted one, else the usual one, else the only one."""
    splits = _local(folder)
    name = wanted or (usual if usual in splits else next(iter(splits)) if len(splits) == 1 else usual)
    if name not in splits:
        known = ", ".join(splits) or "none"
        raise InputError(f"{folder} has no split '{name}'; name one of its splits: {known}")
    return splits[name]


def cached_dataset(name: str) -> Path:
    """The folder of a dataset in the local cache of the hub; nothing is fetched."""
    require(name, "datasets")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, repo_type="dataset", local_files_only=True))
    except Exception:  # it says many things of a connection that was never tried
        raise InputError(
            f"{name} is no file here, and no dataset in the local cache of the hub; fetch it with "
            f"`hf download {name} --repo-type dataset`, or give a file"
        ) from None


def _local(path: Path) -> dict[str, list[Path]]:
    """The data files of each split of a folder."""
    if (path / _STATE).is_file():
        return {"train": _saved(path)}
    if (path / _SPLITS_FILE).is_file():
        return {str(name): _saved(path / str(name)) for name in _json(path / _SPLITS_FILE).get("splits", [])}
    _check_folder(path)
    return {name: [Path(f) for f in files] for name, files in _found(path).items()}


def _saved(folder: Path) -> list[Path]:
    """The files of a dataset as save_to_disk writes it: Arrow streams, named in a record."""
    state = _json(folder / _STATE)
    if state.get("_indices_data_files"):
        raise InputError(f"{folder} is a selection of rows; save flatten_indices() of the dataset")
    try:
        names = [str(file["filename"]) for file in state["_data_files"]]
    except (LookupError, TypeError):
        raise InputError(f"{folder / _STATE} names no data files; save the dataset again") from None
    for name in names:
        if Path(name).name != name:
            raise InputError(f"{folder / _STATE} names {name!r}, which is no file of its folder")
    return [folder / name for name in names]


def _json(file: Path) -> dict[str, Any]:
    try:
        found = parse_json(read_plain_text(file))
        if not isinstance(found, dict):
            raise ValueError("it is no object")
        return found
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read ({error}); save the dataset again") from None


def _found(folder: Path) -> dict[str, list[str]]:
    """The data files of each split, as `datasets` takes them from their names and the folder's card."""
    check_cards(folder)
    with _datasets(folder) as datasets:
        return {
            str(k): list(v) for k, v in datasets.load_dataset_builder(str(folder)).config.data_files.items()
        }


def _fetched(name: Path) -> dict[str, Any]:
    """A dataset by its name, which `datasets` fetches and unpacks into its cache."""
    with _datasets(name) as datasets:
        return dict(datasets.load_dataset(str(name)))


def _files_of(rows: Any) -> list[Path]:
    return [Path(file["filename"]) for file in rows.cache_files]


@contextmanager
def _datasets(path: Path) -> Iterator[Any]:
    require(str(path), "datasets")
    import datasets

    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield datasets
    except Exception as error:  # such as no connection, an unknown name or a damaged card
        raise InputError(_explain(path, error)) from None
    finally:
        if shown:
            datasets.enable_progress_bars()


def dataset_identity(path: Path) -> str:
    """A digest of the data of a dataset given by name."""
    files = {name: [file_digest(f) for f in _files_of(rows)] for name, rows in _fetched(path).items()}
    return f"sha256:{digest(files)}"


def _check_folder(path: Path) -> None:
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
