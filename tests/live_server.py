"""A reward server in a thread of this process, and raw requests to it."""

from __future__ import annotations

import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rmlab.models.text.rendering import Exchange
from rmlab.models.text.tokens import Encoded
from rmlab.reward.scored import ScoredTexts
from rmlab.serve import address
from rmlab.serve.admission import Guard
from rmlab.serve.app import Service
from rmlab.serve.limits import Limits
from rmlab.serve.server import Server

JSON = "application/json"


def score_of(response: str) -> float:
    return zlib.crc32(response.encode()) / 2**32


@dataclass
class Stub:
    """A model whose score tells of the response. before: called before each batch; sizes: of all batches."""

    before: Callable[[Sequence[Exchange]], None] = lambda exchanges: None
    sizes: list[int] = field(default_factory=list)
    name: str = "stub"
    about: str = "a stub"
    compares: bool = False
    tokens: Any = None

    def score_exchanges(self, exchanges: Sequence[Exchange]) -> ScoredTexts:
        self.sizes.append(len(exchanges))
        self.before(exchanges)
        scores = np.array([score_of(e.response) for e in exchanges])
        cut = np.array(["long" in e.response for e in exchanges])
        return ScoredTexts(scores, scores, np.ones(len(scores), np.int32), cut)

    def score_tokens(self, rows: Sequence[Encoded]) -> ScoredTexts:
        raise AssertionError


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """The one line of an error."""
        error = self.json["error"]
        assert error["code"] == self.status and "\n" not in error["message"]
        return error["message"]


@dataclass
class Live:
    """A running server."""

    service: Service
    server: Server
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def raw(self, data: bytes) -> Reply:
        """Sends bytes as they are and reads one response."""
        with self.connect() as link:
            link.sendall(data)
            return read_reply(link)

    def ask(self, path: str, body: Any = None, method: str = "POST", **headers: str) -> Reply:
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        fields = {"host": f"127.0.0.1:{self.port}", "content-type": JSON, "content-length": str(len(content))}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return self.raw(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + content)

    def score(self, prompts: list[Any], responses: list[Any]) -> Reply:
        return self.ask("/score", {"prompts": prompts, "responses": responses})


def read_reply(link: socket.socket) -> Reply:
    data = b""
    while b"\r\n\r\n" not in data:
        part = link.recv(65536)
        if not part:
            raise ConnectionError(f"closed after {data!r}")
        data += part
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
    while len(rest) < int(headers["content-length"]):
        part = link.recv(65536)
        if not part:
            raise ConnectionError("closed within a body")
        rest += part
    return Reply(int(first.split()[1]), headers, rest)


@contextmanager
def live(
    scorer: Any,
    limits: Limits | None = None,
    token: str | None = None,
    hosts: frozenset[str] | None = frozenset(),
    log: Callable[[str], None] | None = None,
    grace: float = 0.0,
) -> Iterator[Live]:
    """Serves within, and waits for the end of the server after."""
    listener = address.bound("127.0.0.1", 0)
    address.listen(listener, "127.0.0.1", 0)
    within = replace(limits or Limits(), grace_seconds=grace)
    service = Service(scorer, within, Guard(token, hosts), log)
    is_up = threading.Event()
    server = Server(service, is_up.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        assert is_up.wait(20)
        yield Live(service, server, listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def until(condition: Callable[[], bool]) -> None:
    """Waits for what another thread does; an error if that takes longer than any machine needs."""
    for _ in range(4000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it did not come to that")
