"""The application of a server: its routes, and what happens to a request from its headers to its response."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from rmlab.reward.scored import ScoredTexts
from rmlab.serve.admission import Guard
from rmlab.serve.asked import Asked, Desk
from rmlab.serve.batching import Batcher
from rmlab.serve.body import Intake, parsed
from rmlab.serve.limits import Limits
from rmlab.serve.metrics import Metrics
from rmlab.serve.openrlhf_form import read_reward
from rmlab.serve.refusals import RefusedError, bad, error_json
from rmlab.serve.score_form import read_score
from rmlab.serve.scorer import Scorer
from rmlab.serve.vllm_form import read_classify

_FORMS: dict[str, Callable[[dict[str, Any], Desk], Asked]] = {
    "/score": read_score,
    "/get_reward": read_reward,
    "/classify": read_classify,
}
_PLAIN = "/score"  # the route whose texts are not tokenised before they wait
_SMALL = 32768  # bytes of a body of it that is read at once; others are read beside the event loop
_GONE = 499  # the status of a request whose client has left, which nobody sees
Log = Callable[[str], None]
Handler = Callable[[Request], Awaitable[Response]]


class Service:
    """Answers requests for the scores of a model. log: told a line for each request."""

    def __init__(self, scorer: Scorer, limits: Limits, guard: Guard, log: Log | None = None) -> None:
        self.limits, self.guard, self.log = limits, guard, log
        self.metrics = Metrics()
        self.desk = Desk(scorer, limits)
        self.batcher = Batcher(scorer, limits, self.metrics)
        self.intake = Intake(limits)
        self.is_draining = False
        self.cut_off = 0  # requests that were given up at the end
        self.shows_requests = False

    def app(self) -> ASGIApp:
        """The application that a server of ASGI runs."""
        routes = [Route(path, self._safely(self._scoring(path)), methods=["POST"]) for path in _FORMS]
        routes += [Route(path, self._safely(show)) for path, show in self._pages().items()]
        app = Starlette(routes=routes, exception_handlers={HTTPException: _unrouted})
        app.router.redirect_slashes = False  # to an address that the client's Host header would name
        return _Watched(self, app)

    def refused(self, refusal: RefusedError) -> Response:
        """Counts a refusal and returns its response."""
        self.metrics.rejected[refusal.kind] += 1
        headers = dict(refusal.headers)
        if refusal.status == 401:
            headers["www-authenticate"] = "Bearer"
        return _json(refusal.to_json(), refusal.status, headers)

    def _safely(self, handle: Handler) -> Handler:
        """The handler, with a response for all that goes wrong in it."""

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except RefusedError as refusal:
                return self.refused(refusal)
            except ClientDisconnect:
                return self.refused(RefusedError(_GONE, "the client has left", "gone"))
            except Exception as error:
                return self.refused(RefusedError(500, f"the server failed ({type(error).__name__})", "error"))

        return answer

    def _scoring(self, path: str) -> Handler:
        async def answer(request: Request) -> Response:
            async with self.intake.body(request) as body:
                asked = await self._read(path, body)
                scored = await self.batcher.score(asked.job)
                if self.shows_requests and self.log:
                    self.log(body.decode("utf-8"))
            self._count(scored, request)
            return _json(asked.reply(scored))

        return answer

    async def _read(self, path: str, body: bytes) -> Asked:
        def work() -> Asked:
            return _FORMS[path](parsed(body), self.desk)

        is_quick = path == _PLAIN and len(body) <= _SMALL
        return work() if is_quick else await asyncio.to_thread(work)

    def _count(self, scored: ScoredTexts, request: Request) -> None:
        n, tokens = len(scored.score), int(scored.n_tokens.clip(min=0).sum())
        cut = int(scored.truncated.sum())
        self.metrics.texts += n
        self.metrics.tokens += tokens
        self.metrics.truncated += cut
        request.scope["rmlab"] = (n, tokens)
        if cut and self.limits.strict:
            first = int(scored.truncated.argmax()) + 1
            raise bad(
                f"text {first} is longer than the embedding model reads, and may not be (--strict)", "long"
            )

    def _pages(self) -> dict[str, Handler]:
        async def health(request: Request) -> Response:
            if self.is_draining:
                raise RefusedError(503, "the server is ending", "draining", 1)
            if not self.batcher.is_alive:
                raise RefusedError(503, "what runs the model has ended; start the server again", "dead")
            return _json({"status": "ok", "model": self.desk.scorer.name})

        async def metrics(request: Request) -> Response:
            now = {
                "queue_texts": self.batcher.waiting,
                "held_bytes": self.intake.held,
                "ready": int(not self.is_draining),
            }
            return PlainTextResponse(self.metrics.text(now), media_type="text/plain; version=0.0.4")

        return {"/health": health, "/metrics": metrics}


class _Watched:
    """Guards an application, and times and counts what it answers."""

    def __init__(self, service: Service, app: ASGIApp) -> None:
        self.service, self.app = service, app
        self.known = {*_FORMS, "/health", "/metrics"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        began, status = time.perf_counter(), _GONE

        async def sent(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        app = self.app
        try:
            self.service.guard.check(scope["path"], dict(scope["headers"]))
        except RefusedError as refusal:
            app = self.service.refused(refusal)
        try:
            await app(scope, receive, sent)
        except asyncio.CancelledError:
            self.service.cut_off += 1
            raise
        finally:
            self._tell(scope, status, time.perf_counter() - began)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope["path"] if scope["path"] in self.known else "other"
        self.service.metrics.answered(route, status, seconds)
        if self.service.log:
            texts, tokens = scope.get("rmlab", (0, 0))
            self.service.log(f"{route} {status} texts={texts} tokens={tokens} ms={1000 * seconds:.1f}")


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Response(text, status, headers, "application/json")


def _unrouted(request: Request, error: Exception) -> Response:
    """Tells of a route or a method that there is not."""
    assert isinstance(error, HTTPException)
    reason = {404: f"there is no such route; use {', '.join(_FORMS)}, /health or /metrics"}
    text = reason.get(error.status_code, f"{error.detail}; scores are asked for with POST")
    headers = dict(error.headers or {})
    return _json(error_json(error.status_code, text), error.status_code, headers)
