"""What rmlab sends to a hub and takes from one: three kinds of folders, and the names of files each may have.

Nothing else travels in either direction, so neither pickles nor code do.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rmlab.errors import InputError
from rmlab.models.folder_check import check_files
from rmlab.removal import refuse_links_in, some
from rmlab.reward import folder as saved
from rmlab.reward.model import RewardModel
from rmlab.sets.validate import validate
from rmlab.storage import set_record
from rmlab.storage.files import parse_json, read_plain_text
from rmlab.storage.integrity import FOLDER_SEAL, is_as_sealed

CARD, LICENSE = set_record.CARD, set_record.LICENSE
CONFIG, EXPORT_RECORD = "config.json", "rmlab_export.json"
MOST_FILES = 2000
_UNSAFE = re.compile(r"\.(bin|pt|pth|ckpt|pkl|pickle|joblib|npy|npz|h5|msgpack|py|so|sh)$", re.IGNORECASE)
_PART = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,120}"
_SHARED = rf"{CARD}|{LICENSE}"
_OF_MODEL = rf"{_PART}\.(json|safetensors|model|txt|jinja)"


@dataclass(frozen=True)
class Kind:
    """A kind of folder. repo_type: what it is on a hub; mark: the file that tells it; names: a pattern."""

    word: str
    repo_type: str
    mark: str
    names: str

    def check_names(self, names: Iterable[str], where: str) -> None:
        """InputError where a name is none that this kind has."""
        foreign = [name for name in names if not re.fullmatch(f"{_SHARED}|{self.names}", name)]
        if unsafe := [name for name in foreign if _UNSAFE.search(name)]:
            raise InputError(
                f"{where} has {some(unsafe)}: pickles and code can run what they like, so none is sent or "
                "fetched; keep numbers in safetensors"
            )
        if foreign:
            raise InputError(
                f"{where} has {some(foreign)}, which no {self.word} of rmlab has; take it away, or name a "
                "folder without it"
            )


HEAD = Kind(
    "reward model",
    "model",
    saved.RECORD,
    rf"{saved.RECORD}|head/([A-Za-z0-9_-]{{1,80}}/){{0,3}}head\.(json|safetensors|txt)|model/{_OF_MODEL}",
)
CLASSIFIER = Kind("sequence classifier", "model", CONFIG, _OF_MODEL)
SET = Kind("embedding set", "dataset", set_record.RECORD, rf"{set_record.RECORD}|{_PART}\.parquet")
KINDS = (SET, HEAD, CLASSIFIER)  # in the order in which their marks are looked for


def kind_of(names: Iterable[str], where: str) -> Kind:
    """The kind of a folder that has files of these names."""
    known = set(names)
    found = next((kind for kind in KINDS if kind.mark in known), None)
    if found is None:
        marks = ", ".join(kind.mark for kind in KINDS)
        raise InputError(
            f"{where} holds nothing of rmlab (it has none of {marks}); such folders come from rmlab fit-rm, "
            "RewardModel.save, rmlab export --to transformers and rmlab release"
        )
    return found


def files_in(folder: Path) -> list[str]:
    """The names of all files below a folder; InputError where one is a link or no plain file."""
    refuse_links_in(folder)
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place) / name
            if not path.is_file():
                raise InputError(f"{path} is no plain file; take it away")
            found.append(path.relative_to(folder).as_posix())
            if len(found) > MOST_FILES:
                raise InputError(f"{folder} has more than {MOST_FILES:,} files; name the folder of one thing")
    return sorted(found)


def check_contents(kind: Kind, folder: Path) -> None:
    """InputError unless a folder of this kind is whole, by its own checksums, and can be used."""
    if kind is SET:
        for failure in validate(folder).failures[:1]:
            raise InputError(failure)
    elif kind is HEAD:
        RewardModel.load(folder)
    else:
        _check_classifier(folder)


def _check_classifier(folder: Path) -> None:
    try:
        config = parse_json(read_plain_text(folder / CONFIG))
        classes = config.get("architectures")
        names = [name for name in (CONFIG, "tokenizer_config.json") if (folder / name).exists()]
        has_code = any("auto_map" in parse_json(read_plain_text(folder / name)) for name in names)
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{folder / CONFIG} cannot be read ({str(error)[:200]}); export it again") from None
    if has_code:
        raise InputError(f"{folder} names code of the model's own (auto_map), which is not trusted")
    listed = classes if isinstance(classes, list) else [classes]
    if not listed or not all(str(c).endswith("ForSequenceClassification") for c in listed):
        raise InputError(
            f"{folder} is no sequence classifier; write one with `rmlab export DIR --to transformers`"
        )
    check_files(folder)
    if not any(folder.glob("*.safetensors")):
        raise InputError(f"{folder} has no weights in safetensors; export it again")
    if (folder / FOLDER_SEAL).exists() and not is_as_sealed(folder):
        raise InputError(
            f"{folder}: a file is not the one that {FOLDER_SEAL} was written with; export it again"
        )
