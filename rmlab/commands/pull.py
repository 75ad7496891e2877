"""rmlab pull: fetches a head or an embedding set from a hub into a new folder."""

from __future__ import annotations

import os
from pathlib import Path

from rmlab.errors import InputError
from rmlab.hub.connection import Hub, repository
from rmlab.hub.contents import HEAD, SET
from rmlab.hub.pull import Remote, look, pull
from rmlab.paths import home_path
from rmlab.terminal import note, say, say_json, size_text


def pull_command(source: str, out: Path, revision: str | None, endpoint: str | None, as_json: bool) -> None:
    repo, repo_type = repository(source)
    target = home_path(str(out))
    if os.path.lexists(target):
        raise InputError(f"{out} exists already; name a new folder")
    hub = Hub.at(endpoint)
    remote = look(hub, repo, repo_type, revision)
    note(f"{len(remote.files)} files, {size_text(remote.size)}, from {repo} on {hub.place}")
    try:
        pull(hub, remote, target)
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror or error}); name another") from None
    _tell(remote, out, as_json)


def _tell(remote: Remote, out: Path, as_json: bool) -> None:
    if as_json:
        say_json(
            {
                "path": str(out),
                "kind": remote.kind.word,
                "repo": remote.repo,
                "commit": remote.commit,
                "files": sorted(remote.files),
            }
        )
        return
    say(f"{out}: the {remote.kind.word}, checked, of commit {remote.commit}")
    if remote.kind is HEAD:
        say(f"next: rmlab score FILE --head {out}")
    elif remote.kind is SET:
        say(f"next: rmlab run experiment=embedding_set input={out}")
    else:
        say(f"next: vllm serve {out} --runner pooling, or AutoModelForSequenceClassification.from_pretrained")
