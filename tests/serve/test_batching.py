"""Requests that are scored together get the scores of their own texts, and fail alone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from live_server import Stub as StubModel
from live_server import live, score_of, until

from rmlab.errors import InputError
from rmlab.reward.scored import NotFiniteError
from rmlab.serve.limits import Limits


class Gate:
    """Holds the first batch until it is opened, so that others wait behind it."""

    def __init__(self) -> None:
        self.is_held, self.opened = threading.Event(), threading.Event()

    def __call__(self, exchanges) -> None:
        if not self.is_held.is_set():
            self.is_held.set()
            assert self.opened.wait(20)


def behind_gate(server, gate, bodies):
    """Sends bodies that all wait behind the gate -> their replies."""
    with ThreadPoolExecutor(len(bodies) + 1) as pool:
        first = pool.submit(server.score, ["first"], ["first"])
        assert gate.is_held.wait(20)
        found = [pool.submit(server.score, *body) for body in bodies]
        waiting = sum(len(body[0]) for body in bodies)
        until(lambda: server.service.batcher.waiting == waiting)
        gate.opened.set()
        assert first.result().status == 200
        return [each.result() for each in found]


def test_what_waits_is_scored_together_and_nothing_is_swapped():
    gate = Gate()
    model = StubModel(gate)
    bodies = [(["p"] * (1 + k % 3), [f"{k} {j}" for j in range(1 + k % 3)]) for k in range(30)]
    with live(model) as server:
        replies = behind_gate(server, gate, bodies)
    for (_, responses), reply in zip(bodies, replies, strict=True):
        assert reply.json["scores"] == [score_of(text) for text in responses]
    assert model.sizes == [1, 60]


def test_a_batch_holds_as_many_tokens_as_it_may():
    gate = Gate()
    model = StubModel(gate)
    bodies = [(["p"], ["x" * 400]) for _ in range(10)]  # some 108 tokens each
    with live(model, Limits(batch_tokens=330)) as server:
        behind_gate(server, gate, bodies)
        assert server.score(["p"], ["y" * 4000]).status == 200  # one alone may have more
    assert model.sizes == [1, 3, 3, 3, 1, 1]


def failing(exchanges) -> None:
    texts = [e.response for e in exchanges]
    if "template" in texts:
        raise InputError("the template has no place for it")
    if "vectors" in texts:
        raise NotFiniteError("the embedding model gave NaN or infinity for text 1")
    if "bug" in texts:
        raise RuntimeError("index out of range\nin a layer")


def test_what_cannot_be_scored_fails_alone():
    gate = Gate()

    def before(exchanges):
        gate(exchanges)
        failing(exchanges)

    bad = {"template": 400, "vectors": 500, "bug": 500}
    names = [*(f"good {k}" for k in range(13)), *bad, *(f"good {k}" for k in range(13, 20))]
    with live(StubModel(before)) as server:
        replies = behind_gate(server, gate, [(["p"], [name]) for name in names])
        for name, reply in zip(names, replies, strict=True):
            assert reply.status == bad.get(name, 200)
            if name in bad:
                assert server.service.metrics.rejected
            else:
                assert reply.json["scores"] == [score_of(name)]
        reasons = {name: r.reason for name, r in zip(names, replies, strict=True) if name in bad}
        assert reasons["vectors"] == "the embedding model gave NaN or infinity for text 1"
        assert reasons["bug"] == "the model failed (RuntimeError: index out of range in a layer)"
        assert server.score(["p"], ["after"]).status == 200


def test_scores_that_are_no_numbers():
    class Odd(StubModel):
        def score_exchanges(self, exchanges):
            found = super().score_exchanges(exchanges)
            found.score[[e.response == "odd" for e in exchanges]] = np.nan
            return found

    with live(Odd()) as server:
        reply = server.score(["p"] * 2, ["fine", "odd"])
        assert reply.status == 500 and reply.reason == "the model gave nan for text 2"
        assert server.score(["p"], ["fine"]).status == 200


def test_a_model_that_loses_scores_is_not_believed():
    class Short(StubModel):
        def score_exchanges(self, exchanges):
            return super().score_exchanges(exchanges[:-1] if len(exchanges) > 1 else exchanges)

    with live(Short()) as server:
        reply = server.score(["p"] * 2, ["a", "b"])
        assert reply.status == 500 and "1 scores for 2 texts" in reply.reason


def test_too_many_that_wait_are_sent_away_for_a_while():
    gate = Gate()
    with live(StubModel(gate), Limits(queue=4, max_texts=4)) as server, ThreadPoolExecutor(8) as pool:
        first = pool.submit(server.score, ["p"], ["first"])
        assert gate.is_held.wait(20)
        waiting = [pool.submit(server.score, ["p"] * 2, [f"{k}", "x"]) for k in range(2)]
        until(lambda: server.service.batcher.waiting == 4)
        reply = server.score(["p"], ["too many"])
        assert reply.status == 503 and 1 <= int(reply.headers["retry-after"]) <= 30
        assert "4 texts wait already" in reply.reason
        assert server.ask("/health", method="GET").status == 200
        assert "rmlab_queue_texts 4" in server.ask("/metrics", method="GET").body.decode()
        gate.opened.set()
        assert [each.result().status for each in (first, *waiting)] == [200] * 3
        assert server.score(["p"], ["later"]).status == 200
        assert 'rmlab_rejected_total{reason="queue"} 1' in server.ask("/metrics", method="GET").body.decode()


def test_bodies_that_are_held_are_bounded():
    gate = Gate()
    limits = Limits(max_body=10_000, held=15_000)
    with live(StubModel(gate), limits) as server, ThreadPoolExecutor(2) as pool:
        first = pool.submit(server.score, ["p"], ["x" * 9000])
        assert gate.is_held.wait(20)
        reply = server.score(["p"], ["y" * 9000])
        assert reply.status == 503 and "retry-after" in reply.headers
        gate.opened.set()
        assert first.result().status == 200
        assert server.score(["p"], ["y" * 9000]).status == 200
        until(lambda: server.service.intake.held == 0)
