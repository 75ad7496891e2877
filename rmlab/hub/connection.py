"""The hub by huggingface_hub: its names of repositories, and its failures as one line each.

No message shows what the hub or a library says of a request, since that may hold a token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rmlab.errors import ConfigError, InputError, RmlabError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_DATASETS = "datasets/"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"


@dataclass(frozen=True)
class Hub:
    """A hub. api: that of huggingface_hub; place: its address without a user or password."""

    api: HfApi
    place: str

    @classmethod
    def at(cls, endpoint: str | None) -> Hub:
        """endpoint: its address; None for that in HF_ENDPOINT, else the usual one."""
        from huggingface_hub import HfApi, constants
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
        address = endpoint or constants.ENDPOINT
        try:
            parts = urlsplit(address)
            host = parts.hostname if parts.port is None else f"{parts.hostname}:{parts.port}"
        except ValueError:
            host = None
        if host is None or parts.scheme not in ("http", "https"):
            raise ConfigError("the endpoint of the hub is no address; write it as https://HOST")
        return cls(HfApi(endpoint=address.rstrip("/"), library_name="rmlab"), host)


def repository(text: str) -> tuple[str, str | None]:
    """The name OWNER/NAME of a repository and its type, which `datasets/` before it tells; else None."""
    name = text.removeprefix(_DATASETS)
    if not _NAME.fullmatch(name) or ".." in name or "--" in name or name.endswith((".git", ".", "-")):
        raise ConfigError(f"{text[:200]} is no name of a repository; write OWNER/NAME")
    return name, "dataset" if name != text else None


class NoRepository(InputError):
    """The hub has no repository of this name and type, or does not show it to this user."""


@contextmanager
def told_of_hub(hub: Hub, repo: str) -> Iterator[None]:
    """Within, the hub is asked about a repository; its failures become one line."""
    from httpx2 import HTTPError
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        yield
    except RmlabError:
        raise
    except HFValidationError:
        raise ConfigError(f"{repo} is no name that hubs take; write OWNER/NAME") from None
    except (HfHubHTTPError, HTTPError, OfflineModeIsEnabled, OSError, ValueError, RuntimeError) as error:
        raise _as_line(_cause(error), hub, repo) from None


def _cause(error: BaseException) -> BaseException:
    """The error of the request, where the library raises another one because of it."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, HfHubHTTPError | OfflineModeIsEnabled):
            return seen
        seen = seen.__cause__ or seen.__context__
    return error


def _as_line(error: BaseException, hub: Hub, repo: str) -> RmlabError:
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, OfflineModeIsEnabled):
        return InputError("HF_HUB_OFFLINE is set, so no hub is asked; unset it and run the same command")
    if isinstance(error, GatedRepoError):
        return InputError(f"{repo} on {hub.place} is gated; ask for access on its page, then {_LOG_IN}")
    if isinstance(error, RevisionNotFoundError):
        return InputError(f"{repo} on {hub.place} has no such revision; give a branch, a tag or a commit")
    if isinstance(error, RepositoryNotFoundError):
        return NoRepository(
            f"{hub.place} shows no repository {repo}; check the name, or, if it is private, {_LOG_IN}"
        )
    if isinstance(error, HfHubHTTPError) and error.response is not None:
        return _of_status(error.response.status_code, hub, repo)
    kind = type(error).__name__
    return InputError(f"{hub.place} cannot be reached ({kind}); check the network, then run the same command")


def _of_status(status: int, hub: Hub, repo: str) -> InputError:
    if status == 401:
        return InputError(f"{hub.place} does not know you (401); {_LOG_IN}")
    if status == 403:
        return InputError(
            f"you may not do this to {repo} on {hub.place} (403); use a token that may write to it"
        )
    if status == 404:
        return InputError(f"{hub.place} does not have what was asked of {repo} (404); check the name")
    again = "try again later" if status >= 500 or status == 429 else "check its page"
    return InputError(f"{hub.place} answered {status} about {repo}; {again}")
