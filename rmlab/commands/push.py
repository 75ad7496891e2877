"""rmlab push: shows what would be sent to a hub, asks for a word, and sends it."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from rmlab.errors import ConfigError, RmlabError
from rmlab.hub.connection import Hub, repository
from rmlab.hub.push import push
from rmlab.hub.sendable import Sendable, sendable
from rmlab.paths import user_path
from rmlab.terminal import note, say, say_json, say_table, size_text


@dataclass(frozen=True)
class PushOptions:
    """private: whether a new repository is; licence: of a head; endpoint: of the hub, None for the usual."""

    private: bool
    licence: str | None
    endpoint: str | None
    yes: bool
    dry_run: bool
    as_json: bool


def push_command(what: str, to: str, how: PushOptions) -> None:
    if how.as_json and not (how.yes or how.dry_run):
        raise ConfigError("--json shows nothing before it is sent; add --yes, or --dry-run to look first")
    repo, asked = repository(to)
    hub = Hub.at(how.endpoint)
    with sendable(user_path(what), repo, how.licence) as found:
        if asked and asked != found.kind.repo_type:
            raise ConfigError(f"{what} is a {found.kind.word}, which is no dataset; write {repo} alone")
        if not how.as_json:
            _show(found, repo, hub, how.private)
        commit = None
        if not how.dry_run:
            if not how.yes:
                _ask(repo)
            commit = push(hub, repo, found, how.private)
        _tell(found, repo, hub, how, commit)


def _show(found: Sendable, repo: str, hub: Hub, private: bool) -> None:
    rows = [(name, size_text(path.stat().st_size)) for name, path in found.files.items()]
    say_table(("file", "size"), rows)
    seen = "private" if private else "public, unless it exists and is private"
    say(
        f"{len(rows)} files, {size_text(found.size)}: the {found.kind.word} would go to the "
        f"{found.kind.repo_type} repository {repo} on {hub.place} ({seen})"
    )


def _ask(repo: str) -> None:
    """Waits for the word on a terminal; without one, or with another word, nothing is sent."""
    if not sys.stdin.isatty():
        raise ConfigError("nothing was sent, since nobody can be asked here; look at it, then add --yes")
    note(f"type {repo} or yes to send it:")
    if sys.stdin.readline().strip() not in (repo, "yes"):
        raise RmlabError("nothing was sent; the word was another one")


def _tell(found: Sendable, repo: str, hub: Hub, how: PushOptions, commit: str | None) -> None:
    if how.as_json:
        files = {name: path.stat().st_size for name, path in found.files.items()}
        told = {"repo": repo, "repo_type": found.kind.repo_type, "hub": hub.place, "private": how.private}
        say_json({**told, "kind": found.kind.word, "files": files, "commit": commit})
    elif commit is None:
        say("nothing was sent (--dry-run)")
    else:
        say(f"sent as commit {commit}", f"next: rmlab pull {repo} DIR")
