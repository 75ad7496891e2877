"""Connections that bring no request in time are closed, and a server that ends answers what it accepted."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from live_server import JSON, live, read_reply, score_of, until
from live_server import Stub as StubModel
from test_batching import Gate

from rmlab.serve.limits import Limits

QUICK = Limits(header_seconds=0.3, body_seconds=0.3, idle_seconds=60)
HEAD = f"POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-type: {JSON}\r\n"
BODY = b'{"prompts": ["a"], "responses": ["b"]}'
WHOLE = f"{HEAD}content-length: {len(BODY)}\r\n\r\n".encode() + BODY


@pytest.fixture(scope="module")
def server():
    with live(StubModel(), QUICK) as found:
        yield found


def is_closed(link: socket.socket) -> bool:
    """Waits for the other side to close."""
    try:
        return link.recv(65536) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    "part",
    [
        b"",
        b"POST /score HTTP/1.1\r\nhost: loc",
        f"{HEAD}content-length: 100\r\n\r\n{{".encode(),
        f"{HEAD}transfer-encoding: chunked\r\n\r\n1\r\n{{\r\n".encode(),
    ],
)
def test_half_a_request_is_not_waited_for(server, part):
    before = server.service.metrics.rejected["late"]
    with server.connect() as link:
        link.sendall(part)
        assert is_closed(link)
    assert server.service.metrics.rejected["late"] == before + 1


@pytest.mark.parametrize("part", [HEAD.encode(), f"{HEAD}content-length: 100000\r\n\r\n".encode()])
def test_a_request_that_drips_is_not_waited_for(server, part):
    """Each byte that arrives gives it no more time."""
    with server.connect() as link:
        link.sendall(part)
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.02):
                try:
                    link.sendall(b"x")
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        assert is_closed(link)
        stop.set()
        thread.join()
    assert server.score(["a"], ["b"]).status == 200


def test_a_second_request_has_the_same_time_and_a_pause_between_has_more(server):
    with server.connect() as link:
        for _ in range(2):
            link.sendall(WHOLE)
            assert read_reply(link).json["scores"] == [score_of("b")]
            assert not threading.Event().wait(0.5)  # longer than headers or a body may take
        link.sendall(WHOLE[:20])
        assert is_closed(link)


def test_a_model_that_is_slow_is_waited_for():
    gate = Gate()
    with live(StubModel(gate), QUICK) as server, server.connect() as link:
        link.sendall(WHOLE)
        assert gate.is_held.wait(20)
        assert not threading.Event().wait(0.6)
        gate.opened.set()
        assert read_reply(link).status == 200


def test_requests_that_come_at_once_are_answered_in_order(server):
    with server.connect() as link:
        link.sendall(WHOLE.replace(b'["b"]', b'["c"]') + WHOLE + WHOLE.replace(b'["b"]', b'["d"]'))
        data = b""
        while data.count(b'"truncated"') < 3:
            data += link.recv(65536)
    at = [data.index(str(score_of(text)).encode()) for text in "cbd"]
    assert at == sorted(at)


def test_what_was_accepted_is_answered_when_the_server_ends():
    gate = Gate()
    with live(StubModel(gate), grace=2.0) as server, ThreadPoolExecutor(8) as pool:
        first = pool.submit(server.score, ["p"], ["first"])
        assert gate.is_held.wait(20)
        idle, late = server.connect(), server.connect()
        waiting = [pool.submit(server.score, ["p"], [f"{k}"]) for k in range(5)]
        until(lambda: server.service.batcher.waiting == 5)
        server.server.should_exit = True
        until(lambda: server.service.is_draining)
        late.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")  # it still comes in
        health = read_reply(late)
        assert health.status == 503 and health.headers["connection"] == "close"
        assert is_closed(idle)
        with pytest.raises(OSError):
            server.connect()
        gate.opened.set()
        replies = [each.result() for each in (first, *waiting)]
        texts = ["first", *map(str, range(5))]
        assert [r.json["scores"] for r in replies] == [[score_of(text)] for text in texts]
        assert all(r.headers["connection"] == "close" for r in replies)


def test_a_client_that_never_reads_does_not_keep_the_server():
    with live(StubModel(), Limits(drain_seconds=1, body_seconds=0.3)) as server:
        link = server.connect()
        link.sendall(f"{HEAD}content-length: 100\r\n\r\n{{".encode())
        until(lambda: bool(server.server.server_state.tasks))
    link.close()
