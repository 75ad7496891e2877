"""What a request is refused with: a status of HTTP and a reason in one line."""

from __future__ import annotations

from rmlab.errors import one_line

_TYPES = {400: "BadRequestError", 401: "Unauthorized", 404: "NotFoundError", 500: "InternalServerError"}


class RefusedError(Exception):
    """A request is not answered with scores.

    kind: a word for the metrics; retry_after: seconds after which the client may try again.
    """

    def __init__(self, status: int, reason: str, kind: str, retry_after: int | None = None) -> None:
        super().__init__(one_line(reason))
        self.status, self.kind, self.retry_after = status, kind, retry_after

    def to_json(self) -> dict[str, object]:
        """The body of the response, in the shape that clients of OpenAI and vLLM read."""
        return error_json(self.status, str(self))

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.retry_after is None else {"retry-after": str(self.retry_after)}


def error_json(status: int, reason: str) -> dict[str, object]:
    kind = _TYPES.get(status, "ServiceUnavailableError" if status == 503 else "RequestError")
    return {"error": {"message": reason, "type": kind, "param": None, "code": status}}


def bad(reason: str, kind: str = "request") -> RefusedError:
    """A request that is wrong in itself."""
    return RefusedError(400, reason, kind)


def busy(reason: str, kind: str, seconds: int) -> RefusedError:
    """A request that would be answered later. Never 429, which clients take for an error of their own."""
    return RefusedError(503, reason, kind, seconds)
