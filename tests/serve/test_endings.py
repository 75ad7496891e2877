"""A server whose model fails or is slow: it lives on, tells of its state, and ends in time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from live_server import Stub, live, score_of, until

from rmlab.serve.limits import Limits


class Panic(BaseException):
    """What a library in another language raises."""


def test_what_is_no_exception_ends_no_server():
    def before(exchanges):
        if any(e.response == "panic" for e in exchanges):
            raise Panic("index out of range")

    with live(Stub(before)) as server:
        reply = server.score(["p"], ["panic"])
        assert reply.status == 500 and "Panic" in reply.reason
        assert server.score(["p"], ["fine"]).json["scores"] == [score_of("fine")]
        assert server.ask("/health", method="GET").status == 200


def test_health_tells_of_a_model_that_nobody_runs():
    with live(Stub()) as server:
        server.service.batcher.close()
        reply = server.ask("/health", method="GET")
        assert reply.status == 503 and "what runs the model has ended" in reply.reason


def test_what_waits_beyond_the_time_to_drain_is_given_up_and_counted():
    is_held, opened = threading.Event(), threading.Event()

    def before(exchanges):
        is_held.set()
        assert opened.wait(30)

    def asked(server, text):
        with suppress(OSError):
            server.score(["p"], [text])

    model = Stub(before)
    with ThreadPoolExecutor(6) as pool, live(model, Limits(drain_seconds=1, batch_tokens=1)) as server:
        pool.submit(asked, server, "first")
        assert is_held.wait(20)
        for k in range(5):
            pool.submit(asked, server, f"{k}")
        until(lambda: server.service.batcher.waiting == 5)
        server.server.should_exit = True
        until(lambda: server.service.cut_off == 6)
        opened.set()
    assert model.sizes == [1]  # nobody waited for the others, so they were not scored


def test_other_requests_are_answered_while_one_is_tokenised():
    is_held, opened = threading.Event(), threading.Event()

    class Slow:
        pooling, limit, size, special = "end", 100, 100, frozenset()

        def of_texts(self, texts, special):
            is_held.set()
            assert opened.wait(30)
            raise AssertionError

    with live(Stub(tokens=Slow())) as server, ThreadPoolExecutor(1) as pool:
        held = pool.submit(server.ask, "/get_reward", {"query": ["a short one"]})
        assert is_held.wait(20)
        assert server.ask("/health", method="GET").status == 200
        assert server.score(["p"], ["fine"]).status == 200
        opened.set()
        assert held.result().status == 500


def test_no_address_of_a_client_is_answered_with():
    with live(Stub()) as server:
        assert server.ask("/score/", {"prompts": ["p"], "responses": ["r"]}).status == 404
