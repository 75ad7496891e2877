"""Sends the files of a head or an embedding set to a hub, in one commit."""

from __future__ import annotations

from rmlab.errors import InputError
from rmlab.hub.connection import Hub, NoRepository, told_of_hub
from rmlab.hub.sendable import Sendable
from rmlab.removal import some

_OF_HUB = (".gitattributes", ".gitignore")  # files that hubs make themselves


def push(hub: Hub, repo: str, found: Sendable, private: bool) -> str:
    """Makes the repository if there is none, sends the files, and returns the commit.

    Nothing is sent to a repository that is public where a private one was asked for, or that holds other
    files, which would become part of what is fetched.
    """
    from huggingface_hub import CommitOperationAdd

    kind = found.kind
    with told_of_hub(hub, repo):
        is_new = not _is_there(hub, repo, found, private)
        if is_new:
            hub.api.create_repo(repo, repo_type=kind.repo_type, private=private)
        done = hub.api.create_commit(
            repo,
            [CommitOperationAdd(name, str(path)) for name, path in found.files.items()],
            commit_message=f"rmlab push: {kind.word}",
            repo_type=kind.repo_type,
        )
    return str(done.oid)


def _is_there(hub: Hub, repo: str, found: Sendable, private: bool) -> bool:
    """Tells whether the repository exists; InputError where the files do not belong into it."""
    try:
        with told_of_hub(hub, repo):
            info = hub.api.repo_info(repo, repo_type=found.kind.repo_type)
    except NoRepository:
        return False
    if private and not info.private:
        raise InputError(
            f"{repo} on {hub.place} exists and is public; make it private on its page, or name another"
        )
    names = [file.rfilename for file in getattr(info, "siblings", None) or ()]
    if others := [name for name in names if name not in found.files and name not in _OF_HUB]:
        raise InputError(
            f"{repo} on {hub.place} has files that are none of this {found.kind.word}'s ({some(others)}); "
            "remove them on its page, or name another repository"
        )
    return True
