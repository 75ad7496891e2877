"""Lets through only requests that are meant for this server, and from whom may ask it."""

from __future__ import annotations

import hmac

from rmlab.serve.address import is_loopback_name
from rmlab.serve.refusals import RefusedError

_OPEN = ("/health",)  # needs no token, since it tells nothing but whether there is a server


class Guard:
    """Checks the Host header and the token of each request.

    token: that clients must send; None where none is needed. hosts: names that the server may be called by;
    None for all. A page in a browser that has its own name lead to this machine (DNS rebinding) is refused by
    its name.
    """

    def __init__(self, token: str | None, hosts: frozenset[str] | None) -> None:
        self._token = None if token is None else token.encode()
        self._hosts = hosts

    def check(self, path: str, headers: dict[bytes, bytes]) -> None:
        """Raises RefusedError for a request that may not come in."""
        host = headers.get(b"host", b"").decode("latin-1")
        if self._hosts is not None and not self._is_known(host):
            raise RefusedError(
                421, "this server is not called by that Host; --allow-host lets a name in", "host"
            )
        if self._token is None or path in _OPEN:
            return
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
            raise RefusedError(401, "send the server's token: Authorization: Bearer TOKEN", "token")

    def _is_known(self, host: str) -> bool:
        name = host_name(host)
        return is_loopback_name(name) or name in (self._hosts or ())


def host_name(host: str) -> str:
    """The name in a Host header, without its port, in lower case."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
