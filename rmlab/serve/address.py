"""The address that a server listens at, and the token that it asks for."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from pathlib import Path

from rmlab.errors import ConfigError, InputError
from rmlab.terminal import note

TOKEN = "RMLAB_SERVE_TOKEN"  # in the environment
BACKLOG = 4096  # connections that wait to be accepted
_SHORTEST, _LONGEST = 16, 4096  # characters of a token


def is_loopback_name(name: str) -> bool:
    """Tells whether a name or an address can only mean this machine."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def bound(host: str, port: int) -> socket.socket:
    """Returns a socket that is bound to the address and does not listen yet; InputError where that fails."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"--host {host} is no address of this machine ({_why(error)})") from None
    family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _unbound(host, port, error) from None
    return listener


def listen(listener: socket.socket, host: str, port: int) -> None:
    """Begins to accept connections."""
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _unbound(host, port, error) from None


def _unbound(host: str, port: int, error: OSError) -> InputError:
    if error.errno == errno.EADDRINUSE:
        return InputError(f"port {port} of {host} is in use; give another with --port, or 0 for any")
    if error.errno == errno.EACCES:
        return InputError(f"port {port} needs rights that you have not; give one above 1023 with --port")
    return InputError(f"nothing can listen at {host}, port {port} ({_why(error)}); give another --host")


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def is_loopback(listener: socket.socket) -> bool:
    """Tells whether only programs of this machine can reach the socket."""
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def url(listener: socket.socket) -> str:
    """The address to call the server by."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        host = socket.gethostname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def read_token(file: Path | None) -> str | None:
    """The token of a file, else of the environment; None where there is neither."""
    if file is None:
        given = os.environ.get(TOKEN, "")
        return _checked(given.strip(), TOKEN) if given else None
    try:
        with open(file.expanduser(), "rb", opener=_at_once) as opened:
            found = os.fstat(opened.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise InputError(f"--token-file {file} is no file")
            content = opened.read(_LONGEST + 2)
    except OSError as error:
        raise InputError(f"--token-file {file} cannot be read ({_why(error)})") from None
    if found.st_mode & 0o044:
        note(f"others on this machine can read {file}; run: chmod 600 {file}")
    return _checked(content.decode("utf-8", "replace").strip(), f"--token-file {file}")


def _at_once(path: str, flags: int) -> int:
    """Opens a file without waiting, as a named pipe would have it."""
    return os.open(path, flags | os.O_NONBLOCK)


def _checked(token: str, where: str) -> str:
    if (
        not _SHORTEST <= len(token) <= _LONGEST
        or not (token.isascii() and token.isprintable())
        or " " in token
    ):
        raise ConfigError(
            f"{where}: a token has {_SHORTEST} to {_LONGEST} letters, digits and signs, without spaces; make "
            "one with: openssl rand -hex 32"
        )
    return token
