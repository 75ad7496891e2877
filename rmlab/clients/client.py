"""A client of reward servers: scores of texts, with retries, over connections that stay open."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from rmlab.clients.retries import Failure, RewardServerError, checked_scores, refused
from rmlab.errors import ConfigError

_BYTES_AT_ONCE = 4 * 2**20  # of a request, half of what a server takes by default
URL, TOKEN = "RMLAB_REWARD_URL", "RMLAB_SERVE_TOKEN"  # in the environment
Text = str | Sequence[dict[str, str]]  # or the messages of a conversation


class RewardClient:
    """Scores texts by servers that `rmlab serve` started.

    url: of one server or several, which then take turns; default: RMLAB_REWARD_URL, where commas separate
    several; token: default: RMLAB_SERVE_TOKEN; timeout: seconds of one try; retries: how often a request is
    tried again after a failure that may pass; texts_at_once: of a request, in which responses to one prompt
    that follow each other stay together.

    It may be used by several threads and event loops, pickled, and used again after a fork.
    """

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        token: str | None = None,
        *,
        timeout: float = 180.0,
        retries: int = 6,
        texts_at_once: int = 1024,
    ) -> None:
        self.urls = _urls(os.environ.get(URL, "") if url is None else url)
        self.timeout, self.retries, self.texts_at_once = float(timeout), int(retries), int(texts_at_once)
        if not (self.timeout > 0 and self.retries >= 0 and self.texts_at_once > 0):
            raise ConfigError("timeout and texts_at_once must be above 0, and retries 0 or more")
        self._token = _checked_token(os.environ.get(TOKEN, "") if token is None else token)
        self._open()

    def _open(self) -> None:
        self._process = os.getpid()
        self._sync: Any = None
        self._async: WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = WeakKeyDictionary()
        self._turns = itertools.count()

    def __getstate__(self) -> dict[str, Any]:
        own = ("_process", "_sync", "_async", "_turns")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def __repr__(self) -> str:
        return f"RewardClient({', '.join(self.urls)})"

    def score(self, prompts: Sequence[Text], responses: Sequence[Text]) -> list[float]:
        """Returns the reward of each response.

        prompts: texts or lists of messages; responses: texts, or the assistant's message in a list.
        """
        found: list[float] = []
        for body, n in self._bodies(prompts, responses):
            found += self._asked(body, n)
        return found

    async def ascore(self, prompts: Sequence[Text], responses: Sequence[Text]) -> list[float]:
        """Returns what `score` returns, for programs with an event loop; requests go out together."""
        parts = [self._awaited(body, n) for body, n in self._bodies(prompts, responses)]
        return [score for part in await asyncio.gather(*parts) for score in part]

    def close(self) -> None:
        """Closes the connections of `score`; those of `ascore` end with their event loops."""
        if self._sync is not None:
            self._sync.close()
            self._sync = None

    def _asked(self, body: dict[str, Any], n: int) -> list[float]:
        for tries in itertools.count(1):
            url = self._next_url()
            try:
                response = self._client().post(f"{url}/score", json=body)
                found = _scores(response, n)
            except _http().HTTPError as error:
                found = _unreached(error)
            if isinstance(found, list):
                return found
            time.sleep(self._delay(found, url, tries))
        raise AssertionError

    async def _awaited(self, body: dict[str, Any], n: int) -> list[float]:
        for tries in itertools.count(1):
            url = self._next_url()
            try:
                response = await self._async_client().post(f"{url}/score", json=body)
                found = _scores(response, n)
            except _http().HTTPError as error:
                found = _unreached(error)
            if isinstance(found, list):
                return found
            await asyncio.sleep(self._delay(found, url, tries))
        raise AssertionError

    def _delay(self, failure: Failure, url: str, tries: int) -> float:
        """The seconds until the next try; RewardServerError where there is none."""
        if not failure.may_pass or tries > self.retries:
            raise failure.error(url, tries)
        return failure.delay(tries)

    def _next_url(self) -> str:
        return self.urls[next(self._turns) % len(self.urls)]

    def _bodies(
        self, prompts: Sequence[Text], responses: Sequence[Text]
    ) -> Iterator[tuple[dict[str, Any], int]]:
        """The requests for texts, and how many are in each."""
        if isinstance(prompts, str) or isinstance(responses, str) or len(prompts) != len(responses):
            raise ConfigError("prompts and responses must be lists of the same length")
        for rows in _together(prompts, responses, self.texts_at_once):
            some = [prompts[k] for k in rows], [responses[k] for k in rows]
            yield {"prompts": some[0], "responses": some[1]}, len(rows)

    def _options(self) -> dict[str, Any]:
        is_here = all(urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1") for url in self.urls)
        headers = {"authorization": f"Bearer {self._token}"} if self._token else {}
        limits = _http().Limits(max_connections=256, max_keepalive_connections=64)
        return {"timeout": self.timeout, "headers": headers, "limits": limits, "trust_env": not is_here}

    def _client(self) -> Any:
        if self._process != os.getpid():  # connections may not be shared with the process of before
            self._open()
        if self._sync is None:
            self._sync = _http().Client(**self._options())
        return self._sync

    def _async_client(self) -> Any:
        if self._process != os.getpid():
            self._open()
        loop = asyncio.get_running_loop()
        if loop not in self._async:
            self._async[loop] = _http().AsyncClient(**self._options())
        return self._async[loop]


def _http() -> Any:
    """The package for HTTP that came with the hub's: httpx2, or httpx beside an older one."""
    try:
        import httpx2 as found
    except ImportError:
        try:
            import httpx as found  # type: ignore[no-redef]
        except ImportError:
            raise ConfigError("rmlab.clients needs httpx2; run: pip install httpx2") from None
    return found


def _scores(response: Any, n: int) -> list[float] | Failure:
    try:
        body = response.json()
    except ValueError:
        body = None
    if response.status_code != 200:
        return refused(response.status_code, response.headers, body)
    return checked_scores(body, n)


def _unreached(error: Exception) -> Failure:
    return Failure(f"{type(error).__name__} {error}".strip())


def _urls(given: str | Sequence[str]) -> list[str]:
    found = given.split(",") if isinstance(given, str) else list(given)
    urls = [url.strip().rstrip("/") for url in found if url.strip()]
    if not urls:
        raise ConfigError(f"give the url of a reward server, such as http://127.0.0.1:8000, or set {URL}")
    for url in urls:
        try:
            parts = urlsplit(url)
        except ValueError:  # half of an address in brackets
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{url} is no url of a server; write http://HOST:PORT")
    return urls


def _checked_token(token: str) -> str:
    """The token without space around it; ConfigError, which does not show it, where no header can hold it."""
    token = token.strip()
    if not (token.isascii() and (token.isprintable() or not token)) or " " in token:
        raise ConfigError(
            f"the token, of {TOKEN} or token=, must be letters, digits and signs without spaces"
        )
    return token


def _together(prompts: Sequence[Text], responses: Sequence[Text], most: int) -> Iterator[list[int]]:
    """Numbers of rows in parts of at most so many, and of no more bytes than a server takes. Rows of one
    prompt that follow each other stay together, unless they are more than that."""
    sizes = [_bytes(pair) for pair in zip(prompts, responses, strict=True)]
    rows: list[int] = []
    held = 0
    for _, group in itertools.groupby(range(len(prompts)), lambda k: prompts[k]):
        some = list(group)
        if len(rows) + len(some) > most or held + sum(sizes[k] for k in some) > _BYTES_AT_ONCE:
            if rows:
                yield rows
            rows, held = [], 0
        for k in some:
            if rows and (len(rows) == most or held + sizes[k] > _BYTES_AT_ONCE):
                yield rows
                rows, held = [], 0
            rows.append(k)
            held += sizes[k]
    if rows:
        yield rows


def _bytes(texts: Any) -> int:
    return len(json.dumps(texts, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass"))


__all__ = ["RewardClient", "RewardServerError"]
