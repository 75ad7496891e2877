"""RewardClient: the scores of a live server, tries after failures, and servers that take turns."""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from live_server import Stub as StubModel
from live_server import live, score_of

from rmlab.clients import RewardClient, RewardServerError
from rmlab.clients.client import _together
from rmlab.clients.retries import Failure
from rmlab.errors import ConfigError


@pytest.fixture(scope="module")
def server():
    with live(StubModel()) as found:
        yield found


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """No try waits; the seconds that it would have waited are kept."""
    kept = []
    real = Failure.delay

    def delay(failure, tries):
        kept.append(real(failure, tries))
        return 0.0

    monkeypatch.setattr(Failure, "delay", delay)
    return kept


@contextmanager
def answering(*answers):
    """A server that gives these answers in turn, each a status, headers and a body; the last again and again."""
    left, seen = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            seen.append((self.client_address, dict(self.headers)))
            self.rfile.read(int(self.headers["content-length"]))
            status, headers, body = left.pop(0) if len(left) > 1 else left[0]
            if status is None:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {**headers, "content-length": len(body)}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *words) -> None:
            pass

        def handle(self) -> None:
            with suppress(OSError, ValueError):
                super().handle()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as there:
        there.daemon_threads = True
        threading.Thread(target=there.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{there.server_port}", seen
        there.shutdown()


ONE = 200, {}, '{"scores": [1.5]}'


def test_scores_are_those_of_the_texts(server):
    client = RewardClient(server.url + "/")
    texts = [f"text {k}" for k in range(50)]
    assert client.score(["p"] * 50, texts) == [score_of(text) for text in texts]
    assert client.score([], []) == []
    talk = [{"role": "user", "content": "Hi"}]
    assert client.score([talk], [[{"role": "assistant", "content": "yes"}]]) == [score_of("yes")]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: client.score(["p"], [text])[0], texts))
    assert found == [score_of(text) for text in texts]
    client.close()
    assert client.score(["p"], ["again"]) == [score_of("again")]


def test_scores_without_waiting(server):
    client = RewardClient(server.url, texts_at_once=3)
    texts = [f"text {k}" for k in range(20)]

    async def several():
        return await asyncio.gather(client.ascore(["p"] * 20, texts), client.ascore(["q"], ["one"]))

    for _ in range(2):  # in an event loop each
        many, one = asyncio.run(several())
        assert many == [score_of(text) for text in texts] and one == [score_of("one")]


def test_many_texts_are_several_requests(server):
    client = RewardClient(server.url, texts_at_once=7)
    prompts = [f"prompt {k // 4}" for k in range(30)]
    texts = [f"text {k}" for k in range(30)]
    assert client.score(prompts, texts) == [score_of(text) for text in texts]


@pytest.mark.parametrize(
    ("prompts", "most", "sizes"),
    [
        ("aabbcc", 4, [4, 2]),
        ("aabbcc", 3, [2, 2, 2]),
        ("aaaaa", 2, [2, 2, 1]),
        ("abab", 8, [4]),
        ("", 3, []),
        ("baaaa", 3, [1, 3, 1]),
    ],
)
def test_responses_to_a_prompt_stay_together(prompts, most, sizes):
    parts = list(_together(prompts, prompts, most))
    assert [k for part in parts for k in part] == list(range(len(prompts)))
    assert [len(part) for part in parts] == sizes


def test_a_failure_that_may_pass_is_tried_again(waits):
    busy = 503, {"retry-after": "7"}, '{"error": {"message": "4 texts wait already"}}'
    with answering(busy, (None, {}, ""), (502, {}, "<html>"), (200, {}, "{}"), ONE) as (url, seen):
        assert RewardClient(url).score(["p"], ["r"]) == [1.5]
    assert len(seen) == 5
    assert 7 <= waits[0] <= 8.4 and 0.5 <= waits[1] <= 1 and 1 <= waits[2] <= 2


def test_the_same_without_waiting(waits):
    with answering((500, {}, "{}"), ONE) as (url, seen):
        assert asyncio.run(RewardClient(url).ascore(["p"], ["r"])) == [1.5]
        assert len(seen) == 2


def test_a_fault_of_the_request_is_not_tried_again(server, waits):
    for ask in (RewardClient.score, lambda *given: asyncio.run(RewardClient.ascore(*given))):
        with pytest.raises(
            RewardServerError, match=r"gave no scores: 400, text 1: 'prompt' is empty"
        ) as caught:
            ask(RewardClient(server.url), [" "], ["r"])
        assert caught.value.status == 400
    assert not waits


def test_tries_come_to_an_end(waits):
    with answering((503, {}, '{"error": {"message": "too busy"}}')) as (url, seen):
        with pytest.raises(RewardServerError, match="after 3 tries: 503, too busy"):
            RewardClient(url, retries=2).score(["p"], ["r"])
        assert len(seen) == 3
    with pytest.raises(RewardServerError, match=r"after 2 tries: ConnectError"):
        RewardClient(url, retries=1).score(["p"], ["r"])


def test_what_is_no_reward_server(waits):
    for body in ('{"scores": [1, 2]}', '{"scores": ["a"]}', "[]", "hello", '{"scores": [NaN]}'):
        with (
            answering((200, {}, body)) as (url, _),
            pytest.raises(RewardServerError, match="its response has"),
        ):
            RewardClient(url, retries=0).score(["p"], ["r"])


def test_a_server_that_hangs_is_not_waited_for_for_ever():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(RewardServerError, match="ReadTimeout"):
            RewardClient(url, timeout=0.2, retries=0).score(["p"], ["r"])


def test_servers_take_turns_and_one_that_is_away_is_passed_over(waits):
    with answering(ONE) as (first, at_first), answering(ONE) as (second, at_second):
        client = RewardClient(f"{first}, {second}")
        for _ in range(6):
            client.score(["p"], ["r"])
        assert (len(at_first), len(at_second)) == (3, 3)
        away = RewardClient([first, "http://127.0.0.1:9"])
        assert [away.score(["p"], ["r"]) for _ in range(4)] == [[1.5]] * 4


def test_connections_stay_open_and_the_token_is_sent(monkeypatch):
    monkeypatch.setenv("RMLAB_SERVE_TOKEN", "from-the-environment")
    with answering(ONE) as (url, seen):
        monkeypatch.setenv("RMLAB_REWARD_URL", url)
        client = RewardClient()
        for _ in range(5):
            client.score(["p"], ["r"])
        RewardClient(url, "given").score(["p"], ["r"])
    assert len({address for address, _ in seen[:5]}) == 1
    assert [h["authorization"] for _, h in seen] == ["Bearer from-the-environment"] * 5 + ["Bearer given"]
    assert "given" not in repr(RewardClient(url, "given"))


def test_a_client_can_be_pickled(server):
    client = RewardClient(server.url, retries=1)
    client.score(["p"], ["r"])
    again = pickle.loads(pickle.dumps(client))
    assert again.retries == 1 and again.score(["p"], ["r"]) == [score_of("r")]


def test_a_client_works_after_a_fork(server):
    client = RewardClient(server.url)
    client.score(["p"], ["r"])
    before = client._client()
    client._process -= 1  # as in a child
    assert client.score(["p"], ["r"]) == [score_of("r")] and client._client() is not before


def test_requests_are_no_larger_than_a_server_takes(server, monkeypatch):
    monkeypatch.setattr("rmlab.clients.client._BYTES_AT_ONCE", 2000)
    texts = [f"{k}" * (300 if k % 5 else 1500) for k in range(20)]
    parts = list(_together("aaaabbbb" + "c" * 12, texts, 100))
    assert [k for part in parts for k in part] == list(range(20))
    assert all(len(part) == 1 or sum(len(texts[k]) for k in part) <= 2000 for part in parts)
    assert len(parts) > 5
    assert RewardClient(server.url).score(["p"] * 20, texts) == [score_of(text) for text in texts]


def test_a_token_with_a_line_end_is_taken_without_it_and_an_odd_one_is_not_shown(monkeypatch):
    monkeypatch.setenv("RMLAB_SERVE_TOKEN", "0123456789abcdef\n")
    assert RewardClient("http://localhost:1")._token == "0123456789abcdef"
    for odd in ("0123456789\nabcdef", "schlüssel-0123456789", "0123456789 abcdef"):
        with pytest.raises(ConfigError, match="without spaces") as error:
            RewardClient("http://localhost:1", odd)
        assert odd not in str(error.value) and "0123456789" not in str(error.value)


@pytest.mark.parametrize("url", ["", "localhost:8000", "http://[::1", "ftp://a", [], "http://", " , "])
def test_what_is_no_url(url):
    with pytest.raises(ConfigError, match="url of a"):
        RewardClient(url)


def test_what_are_no_lists(server):
    client = RewardClient(server.url)
    for given in (("p", ["r"]), (["p"], "r"), (["p"], [])):
        with pytest.raises(ConfigError, match="lists of the same length"):
            client.score(*given)
    with pytest.raises(ConfigError, match="above 0"):
        RewardClient(server.url, timeout=0)


def test_it_needs_no_large_package(server):
    code = (
        "import sys\nfrom rmlab.clients import RewardClient, trl_reward, compute_score\n"
        f"print(RewardClient({server.url!r}).score(['p'], ['r']))\n"
        "assert not {'torch', 'numpy', 'transformers', 'pandas', 'pyarrow', 'starlette'} & set(sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and done.stdout == f"[{score_of('r')}]\n", done.stderr
