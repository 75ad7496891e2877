"""Fetches a head or an embedding set from a hub; its folder appears whole and checked, or not at all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmlab.errors import InputError, RmlabError
from rmlab.hub.connection import Hub, NoRepository, told_of_hub
from rmlab.hub.contents import MOST_FILES, Kind, check_contents, kind_of
from rmlab.logs.progress import Progress
from rmlab.removal import remove_scratch
from rmlab.storage.digest import file_digest
from rmlab.storage.staged_folder import only_writer, staged_folder

_OF_HUB = (".gitattributes", ".gitignore")
_NOTES = ".cache"  # where huggingface_hub keeps its own notes beside what it fetches


@dataclass(frozen=True)
class Remote:
    """What a repository holds at a commit. files: the records of its files, by name."""

    repo: str
    kind: Kind
    repo_type: str
    commit: str
    files: dict[str, Any]

    @property
    def size(self) -> int:
        return sum(int(file.size) for file in self.files.values())


def look(hub: Hub, repo: str, repo_type: str | None, revision: str | None) -> Remote:
    """Asks a hub what a repository holds; InputError where that is nothing that rmlab fetches.

    repo_type: model or dataset; None: whichever there is, a model first.
    """
    types = [repo_type] if repo_type else ["model", "dataset"]
    for each in types:
        try:
            return _listed(hub, repo, each, revision)
        except NoRepository:
            if each == types[-1]:
                raise
    raise AssertionError("there is always a type")


def _listed(hub: Hub, repo: str, repo_type: str, revision: str | None) -> Remote:
    from huggingface_hub.hf_api import RepoFile

    with told_of_hub(hub, repo):
        commit = hub.api.repo_info(repo, repo_type=repo_type, revision=revision).sha
        if not commit:
            raise InputError(f"{repo} on {hub.place} is empty")
        tree = hub.api.list_repo_tree(repo, recursive=True, revision=commit, repo_type=repo_type)
        files: dict[str, Any] = {}
        for entry in tree:
            if isinstance(entry, RepoFile) and entry.path not in _OF_HUB:
                files[entry.path] = entry
            if len(files) > MOST_FILES:
                raise InputError(f"{repo} on {hub.place} has more than {MOST_FILES:,} files")
    where = f"{repo} on {hub.place}"
    kind = kind_of(files, where)
    kind.check_names(files, where)
    if kind.repo_type != repo_type:
        raise InputError(f"{where} is a {repo_type} repository that holds a {kind.word}; push it again")
    return Remote(repo, kind, repo_type, commit, files)


def pull(hub: Hub, remote: Remote, target: Path) -> None:
    """Fetches what `look` found into a new folder, checks it, and only then lets the folder appear."""
    with only_writer(target) as place:
        if place.exists():
            raise InputError(f"{target} exists already; name a new folder")
        with staged_folder(place) as made:
            _fetch(hub, remote, made)
            remove_scratch(made / _NOTES)
            try:
                check_contents(remote.kind, made)
            except RmlabError as error:
                said = str(error).replace(str(made), remote.repo)
                raise InputError(f"{remote.repo} on {hub.place} is not as it was pushed: {said}") from None


def _fetch(hub: Hub, remote: Remote, made: Path) -> None:
    with Progress("pull", "files") as shown:
        shown.start(len(remote.files))
        for name, record in remote.files.items():
            with told_of_hub(hub, remote.repo):
                hub.api.hf_hub_download(
                    remote.repo,
                    name,
                    repo_type=remote.repo_type,
                    revision=remote.commit,
                    local_dir=made,
                )
            _check_file(made / name, record, f"{remote.repo} on {hub.place}")
            shown.advance(1)


def _check_file(file: Path, record: Any, where: str) -> None:
    """InputError unless the file is, by size and digest, the one that the hub lists."""
    if file.is_symlink() or not file.is_file():
        raise InputError(f"{where}: {record.path} did not come as a file; run the same command again")
    known = record.lfs.sha256 if record.lfs else record.blob_id
    found = file_digest(file) if record.lfs else _blob_id(file)
    if file.stat().st_size != record.size or (known and found != known):
        raise InputError(
            f"{where}: {record.path} did not come as the hub lists it (another size or digest); run the same "
            "command again"
        )


def _blob_id(file: Path) -> str:
    """The name that git gives to the content of a file."""
    content = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
