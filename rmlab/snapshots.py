"""Weights in the Hugging Face cache, compared with the checksums that their files are named by."""

from __future__ import annotations

import re
from pathlib import Path

from rmlab.digests import file_digest_of
from rmlab.errors import InputError

_SHA256 = re.compile(r"[0-9a-f]{64}")


def check_snapshot(folder: Path, name: str) -> Path:
    """The folder itself, or InputError for the first weights that are not those that were fetched.

    A snapshot links to blobs; the blob of a large file bears its sha256. Files that are no such links
    have no checksum here, and are as they are.
    """
    for link in sorted(folder.rglob("*.safetensors")):
        blob = link.resolve()
        if _SHA256.fullmatch(blob.name) and (not blob.is_file() or file_digest_of(blob) != blob.name):
            raise InputError(
                f"{link}: its contents differ from the checksum it was fetched with; fetch it again: "
                f"hf download {name} --revision {folder.name} --force-download"
            )
    return folder
