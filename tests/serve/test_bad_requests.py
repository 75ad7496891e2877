"""Whatever a client sends gets one status and one line, and the server lives on."""

from __future__ import annotations

import json

import pytest
from live_server import JSON, live, score_of, until
from live_server import Stub as StubModel

from rmlab.serve.limits import Limits

LIMITS = Limits(max_body=20_000, max_texts=8, max_chars=5_000, queue=8)


@pytest.fixture(scope="module")
def server():
    with live(StubModel(), LIMITS) as found:
        yield found
        assert found.service.intake.held == 0


@pytest.fixture(autouse=True)
def it_lives_on(server):
    yield
    assert server.score(["Hi"], ["yes"]).json["scores"] == [score_of("yes")]


def one(prompt, response):
    return {"prompts": [prompt], "responses": [response]}


BODIES = {
    "nothing": (b"", "not JSON"),
    "half": (b'{"prompts": ["a"', "not JSON"),
    "two": (b'{"prompts": ["a"]} {}', "not JSON"),
    "not UTF-8": (b'{"prompts": ["\xff"], "responses": ["b"]}', "not UTF-8"),
    "NaN": (b'{"prompts": ["a"], "responses": [NaN]}', "NaN is no number"),
    "infinity": (b'{"prompts": ["a"], "responses": ["b"], "label": -Infinity}', "-Infinity is no number"),
    "a key twice": (b'{"prompts": ["a"], "prompts": ["b"], "responses": ["c"]}', "twice"),
    "deep lists": (b"[" * 9000 + b"]" * 9000, "nested more than 100"),
    "deep objects": (b'{"a":' * 150 + b"1" + b"}" * 150, "nested more than 100"),
    "a long number": (b'{"label": ' + b"9" * 10000 + b"}", "not JSON"),
    "a list": (b"[1]", "must be an object"),
    "a text": (b'"a"', "must be an object"),
    "a surrogate": (json.dumps(one("a", "\ud800")).encode(), "lone surrogate"),
    "a surrogate before": (json.dumps(one("\udfff", "a")).encode(), "lone surrogate"),
    "no keys": (b"{}", "send prompts with responses"),
    "other keys": (b'{"texts": ["a"]}', "got texts"),
    "prompts alone": (b'{"prompts": ["a"]}', "send prompts with responses"),
    "a number": (json.dumps(one("a", 1)).encode(), "must be text, got int"),
    "null": (json.dumps(one(None, "a")).encode(), "must be text or a list"),
    "other lengths": (json.dumps({"prompts": ["a", "b"], "responses": ["c"]}).encode(), "2 prompts and 1"),
    "no lists": (json.dumps({"prompts": "a", "responses": "b"}).encode(), "prompts must be a list, got str"),
    "empty lists": (json.dumps({"prompts": [], "responses": []}).encode(), "prompts is empty"),
    "an empty prompt": (json.dumps(one(" ", "a")).encode(), "'prompt' is empty"),
    "no messages": (json.dumps(one([], "a")).encode(), "'messages' is empty"),
    "another role": (json.dumps(one([{"role": "tool", "content": "a"}], "b")).encode(), "needs a role"),
    "no user": (json.dumps(one([{"role": "assistant", "content": "a"}], "b")).encode(), "ends with the user's"),
    "two messages": (json.dumps(one("a", [{"role": "assistant", "content": "a"}] * 2)).encode(), "one message"),
    "no answer": (b'{"messages": [[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]]}', "must be the assistant's"),
    "half a talk": (b'{"messages": [[{"role": "user", "content": "a"}]]}', "messages must be a list"),
    "too many": (json.dumps({"prompts": ["a"] * 9, "responses": ["b"] * 9}).encode(), "9 entries, and a request may have 8"),
    "too long": (json.dumps(one("a", "b" * 5001)).encode(), "5001 characters"),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_bad_bodies(server, name):
    body, reason = BODIES[name]
    reply = server.ask("/score", body)
    assert reply.status == 400, reply.body
    assert reason in reply.reason


OTHERS = {
    "no query": ("/get_reward", {"prompts": ["a"]}, "query must be a list, got nothing"),
    "a query as text": ("/get_reward", {"query": "a", "prompts": "a"}, "query must be a list, got str"),
    "a number": ("/get_reward", {"query": [1], "prompts": ["a"]}, "query, entry 1: must be text"),
    "prompts missing": ("/get_reward", {"query": ["a", "b"], "prompts": ["a"]}, "2 entries and prompts 1"),
    "neither": ("/classify", {"model": "m"}, "either messages or input"),
    "both": ("/classify", {"input": "a", "messages": []}, "either messages or input"),
    "input": ("/classify", {"input": "a"}, "pooling=end"),
    "messages as text": ("/classify", {"messages": "a"}, "messages must be a list, got str"),
    "messages of numbers": ("/classify", {"messages": [1, 2]}, "must be the assistant's"),
    "mixed": ("/classify", {"messages": [[], {}]}, "must be the assistant's"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_bad_bodies_of_other_routes(server, name):
    path, body, reason = OTHERS[name]
    reply = server.ask(path, body)
    assert reply.status == 400 and reason in reply.reason


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/json; charset=latin-1"]
)
def test_other_content_types(server, kind):
    reply = server.ask("/score", one("a", "b"), content_type=kind)
    assert reply.status == 415 and "application/json" in reply.reason


def test_compressed_bodies(server):
    assert server.ask("/score", one("a", "b"), content_encoding="gzip").status == 415
    assert server.ask("/score", one("a", "b"), content_type="Application/JSON; charset=UTF-8").status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_other_methods(server, method):
    with server.connect() as link:
        link.sendall(f"{method} /score HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        head = link.recv(65536)
    assert head.startswith(b"HTTP/1.1 405 ") and b"allow: POST" in head
    assert server.ask("/health", method="POST").status == 405
    assert server.ask("/../etc", method="GET").status == 404


def test_a_body_beyond_the_limit(server):
    long = one("a", "b" * 30_000)
    reply = server.ask("/score", long)
    assert reply.status == 413 and "20000 bytes" in reply.reason
    head = f"POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-type: {JSON}\r\n"
    declared = server.raw(f"{head}content-length: 999999999999\r\n\r\n{{".encode())
    assert declared.status == 413  # before it is sent
    chunk = b"4e20\r\n" + b" " * 20_000 + b"\r\n"
    reply = server.raw(f"{head}transfer-encoding: chunked\r\n\r\n".encode() + chunk * 5)
    assert reply.status == 413


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n\r\n",
        b"POST /score HTTP/1.1\r\n\r\n",  # no Host
        b"POST /score HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_is_no_http(server, head):
    with server.connect() as link:
        link.sendall(head + b"\r\n\r\n")
        assert link.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_headers_without_end(server):
    with server.connect() as link:
        link.sendall(b"POST /score HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 17_000)
        assert link.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_a_client_that_leaves_within_its_body(server):
    before = server.service.metrics.rejected["gone"]
    with server.connect() as link:
        link.sendall(
            f"POST /score HTTP/1.1\r\nhost: localhost\r\ncontent-type: {JSON}\r\ncontent-length: 99\r\n\r\n{{".encode()
        )
    until(lambda: server.service.metrics.rejected["gone"] > before)


def test_tokens_that_the_model_has_not(tiny_model):
    from random_rewards import on_model

    from rmlab.serve.scorer import ModelScorer

    with live(ModelScorer(on_model(tiny_model, "end"), "end"), LIMITS) as found:
        for given, reason in {
            "[259]": "there is no token 259",
            "[-1]": "there is no token -1",
            f"[{'9' * 400}]": "there is no token 999",
            "[1, 2.5]": "must be a list of tokens",
            "[true]": "must be a list of tokens",
            '[[1], "a"]': "entry 2: must be a list of tokens",
            '["a", [1]]': "entry 2: must be text",
            "[[]]": "text 1 has no tokens",
            "[]": "input is empty",
            "null": "must be a list",
            '"a", "add_special_tokens": 1': "true or false",
        }.items():
            reply = found.ask("/classify", f'{{"input": {given}}}'.encode())
            assert reply.status == 400 and reason in reply.reason, given
        assert found.ask("/classify", {"input": [0, 258]}).status == 200


def test_strict_servers_refuse_long_texts_and_empty_responses():
    with live(StubModel(), Limits(strict=True)) as found:
        assert "text 2 is longer" in found.score(["a", "b"], ["x", "long"]).reason
        assert "text 1: its response is empty" in found.score(["a"], ["  "]).reason
        assert found.score(["a"], ["x"]).status == 200
    with live(StubModel()) as found:
        assert found.score(["a", "b"], ["", "long"]).json["truncated"] == [False, True]


HOSTS = [
    "evil.example",
    "evil.example:80",
    "127.0.0.1.evil.example",
    "[::2]:1",
    "",
    "localhost.evil.example",
    "0.0.0.0",
]


@pytest.mark.parametrize("host", HOSTS)
def test_other_hosts(server, host):
    assert server.ask("/score", one("a", "b"), host=host).status == 421
    assert server.ask("/health", method="GET", host=host).status == 421


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:99", "127.0.0.1:1", "127.9.9.9", "[::1]:5", "mine.example:80"]
)
def test_hosts_of_its_own(host):
    with live(StubModel(), hosts=frozenset({"mine.example"})) as found:
        assert found.ask("/score", one("a", "b"), host=host).status == 200


def test_tokens_are_asked_for():
    with live(StubModel(), token="a-token-of-its-own", hosts=None) as found:
        for given in ({}, {"authorization": "Bearer other"}, {"authorization": "a-token-of-its-own"}):
            reply = found.ask("/score", one("a", "b"), **given)
            assert reply.status == 401 and reply.headers["www-authenticate"] == "Bearer"
            assert "a-token-of-its-own" not in reply.reason
            assert found.ask("/metrics", method="GET", **given).status == 401
            assert found.ask("/health", method="GET", **given).status == 200
        for given in ("Bearer a-token-of-its-own", "bearer  a-token-of-its-own"):
            assert found.ask("/score", one("a", "b"), authorization=given).status == 200


def test_nothing_of_a_request_is_logged_unless_asked():
    secret, lines = "a-secret-of-the-client", []
    with live(StubModel(), log=lines.append) as found:
        found.score([secret], [secret])
        found.ask("/score", {"prompts": secret})
        found.ask(f"/{secret}", method="GET")
        found.ask("/score", one("a", "b"), content_type=secret)
    assert len(lines) == 4 and lines[0].startswith("/score 200 texts=1 tokens=1 ms=")
    assert not any(secret in line for line in lines)
    with live(StubModel(), log=lines.append) as found:
        found.service.shows_requests = True
        found.score([secret], [secret])
    assert any(secret in line for line in lines)
