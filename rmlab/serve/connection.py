"""The protocol of a connection: uvicorn's, with a time within which a request must arrive.

uvicorn alone waits for ever for a client that sends its request byte by byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from rmlab.serve.limits import Limits


@dataclass(frozen=True)
class _Deadlines:
    """Seconds for headers and for a body; too_late: called for each connection that is closed."""

    headers: float
    body: float
    too_late: Callable[[], None]


def protocol_within(limits: Limits, too_late: Callable[[], None]) -> type[H11Protocol]:
    """Returns the protocol of connections under these limits. too_late: called for each that is closed."""

    class Protocol(_TimedProtocol):
        deadlines: ClassVar = _Deadlines(limits.header_seconds, limits.body_seconds, too_late)

    return Protocol


class _TimedProtocol(H11Protocol):
    """Closes a connection whose headers or body are not there in time, counted from their first byte."""

    deadlines: ClassVar[_Deadlines]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._awaited: str | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await("headers")

    def connection_lost(self, exc: Exception | None) -> None:
        self._await(None)
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        self._await(self._missing())

    def _missing(self) -> str | None:
        """What a request lacks that has begun to arrive."""
        state = self.conn.their_state
        if self.transport.is_closing():
            return None
        if state is h11.SEND_BODY:
            return "body"
        has_begun = bool(self.conn.trailing_data[0]) or self.cycle is None
        return "headers" if state is h11.IDLE and has_begun else None

    def _await(self, part: str | None) -> None:
        if part == self._awaited:
            return
        self._awaited = part
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if part is not None:
            self._deadline = self.loop.call_later(getattr(self.deadlines, part), self._close_late)

    def _close_late(self) -> None:
        self._deadline = None
        self.deadlines.too_late()
        self.transport.abort()
