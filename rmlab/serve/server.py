"""Runs a service on a socket until it is told to end, and then until all that it accepted is answered."""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn

from rmlab.serve.app import Service
from rmlab.serve.connection import protocol_within

_HEADERS = 16384  # bytes of a request's headers
_SPARE = 64  # files that are open besides connections


def run_server(service: Service, listener: socket.socket, on_start: Callable[[], None]) -> bool:
    """Serves until SIGTERM or SIGINT; a second signal ends it at once. on_start: called when it accepts.

    Returns whether it ended by itself; `service.cut_off` tells how many requests it gave up.
    """
    server = Server(service, on_start)
    server.run(sockets=[listener])
    return not server.force_exit


class Server(uvicorn.Server):
    """uvicorn's server, which ends without loss: what was accepted, and what is on its way, is answered."""

    def __init__(self, service: Service, on_start: Callable[[], None]) -> None:
        self.service, self._on_start = service, on_start
        limits = service.limits
        super().__init__(
            uvicorn.Config(
                service.app(),
                http=protocol_within(limits, self._count_late),
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=4096,
                limit_concurrency=min(limits.connections, _files() - _SPARE),
                timeout_keep_alive=limits.idle_seconds,
                timeout_graceful_shutdown=limits.drain_seconds,
                h11_max_incomplete_event_size=_HEADERS,
            )
        )

    def _count_late(self) -> None:
        self.service.metrics.rejected["late"] += 1

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.service.batcher.start()
        await super().startup(sockets)
        self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes no more connections, answers what those that there are ask within the grace, and ends."""
        self.service.is_draining = True
        self.server_state.default_headers.append((b"connection", b"close"))
        last = [link for listener in sockets or () for link in _connected(listener)]
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        for link in last:
            await loop.connect_accepted_socket(self._protocol, link)
        await asyncio.sleep(self.service.limits.grace_seconds)
        await super().shutdown(sockets)
        if not self.force_exit:
            await asyncio.to_thread(self.service.batcher.close)

    def _protocol(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        made: asyncio.Protocol = kind(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    @contextmanager
    def capture_signals(self) -> Iterator[None]:  # type: ignore[override]
        """Ends the server by a signal, and, unlike uvicorn, does not send it again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._end) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end(self, number: int, frame: object) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


def _connected(listener: socket.socket) -> Iterator[socket.socket]:
    """Connections that clients have made and nobody has accepted; to close the listener would lose them."""
    with suppress(OSError):  # there is none left
        while True:
            yield listener.accept()[0]


def _files() -> int:
    """How many files may be open: as many as the system allows, which is often more than at first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft < wanted:
        with suppress(OSError, ValueError):  # macOS allows fewer than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
