"""Reads the body of a request: within its limits, and as strict JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from starlette.requests import Request

from rmlab.errors import printable
from rmlab.serve.limits import Limits
from rmlab.serve.refusals import RefusedError, bad, busy
from rmlab.storage.files import DEEPEST, is_shallow, unique_keys


class Intake:
    """Holds the bodies of requests, and knows how many bytes they have together."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.held = limits, 0

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The body of a request, which counts as held within; RefusedError where it is too large."""
        _check_type(request.headers.get("content-type", ""), request.headers.get("content-encoding", ""))
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > self.limits.max_body:
            raise self._too_large()
        parts: list[bytes] = []
        size = 0
        try:
            async for part in request.stream():
                size += len(part)
                self.held += len(part)
                if size > self.limits.max_body:
                    raise self._too_large()
                if self.held > self.limits.held:
                    raise busy("the server holds as much as it may; try again later", "memory", 1)
                parts.append(part)
            yield b"".join(parts)
        finally:
            self.held -= size

    def _too_large(self) -> RefusedError:
        return RefusedError(
            413, f"the body has more than {self.limits.max_body} bytes; send fewer texts at once", "body"
        )


def _check_type(given: str, encoding: str) -> None:
    kind, _, options = given.partition(";")
    charset = options.strip().lower().removeprefix("charset=").strip('"')
    if kind.strip().lower() != "application/json" or charset not in ("", "utf-8", "utf8"):
        raise RefusedError(415, "send application/json in UTF-8", "content_type")
    if encoding.strip().lower() not in ("", "identity"):
        raise RefusedError(415, "send a body that is not compressed", "content_type")


def parsed(body: bytes) -> dict[str, Any]:
    """The object that a body holds; RefusedError for what is not strict JSON."""
    try:
        text = body.decode("utf-8")
        found = _DECODER.decode(text)
    except UnicodeDecodeError as error:
        raise bad(f"the body is not UTF-8 (byte {error.start})", "json") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise bad(f"the body is not JSON ({printable(str(error))[:200]})", "json") from None
    if text.count("[") + text.count("{") > DEEPEST and not is_shallow(found):
        raise _too_deep()
    if not isinstance(found, dict):
        raise bad(f"the body must be an object {{...}}, got {type(found).__name__}", "json")
    return found


def _too_deep() -> RefusedError:
    return bad(f"the body is nested more than {DEEPEST} levels deep", "json")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=unique_keys, parse_constant=_no_number)


def listed(body: Mapping[str, Any], key: str, limits: Limits) -> list[Any]:
    """The list under a key, which must hold something and no more than a request may."""
    found = body.get(key)
    if not isinstance(found, list):
        got = "nothing" if found is None else type(found).__name__
        raise bad(f"{key} must be a list, got {got}")
    if not found:
        raise bad(f"{key} is empty; send at least one text")
    if len(found) > limits.max_texts:
        raise bad(f"{key} has {len(found)} entries, and a request may have {limits.max_texts}", "texts")
    return found


def texts_under(body: Mapping[str, Any], key: str, limits: Limits) -> list[str]:
    """The list of texts under a key."""
    found = listed(body, key, limits)
    for k, text in enumerate(found, start=1):
        check_text(text, f"{key}, entry {k}", limits)
    return found


def check_text(text: Any, where: str, limits: Limits) -> None:
    if not isinstance(text, str):
        raise bad(f"{where}: must be text, got {type(text).__name__}")
    if len(text) > limits.max_chars:
        raise bad(f"{where}: has {len(text)} characters, and a text may have {limits.max_chars}", "length")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise bad(f"{where}: holds a lone surrogate, which is not text") from None
