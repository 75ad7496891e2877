"""rmlab serve: what it tells at the start and at the end, and what it refuses to start with."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest
from random_rewards import on_hashes, on_model

from rmlab.clients import RewardClient, RewardServerError

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def head(tmp_path):
    on_hashes().save(tmp_path / "head")
    return tmp_path / "head"


@contextmanager
def served(*words, **environment):
    """The command in a process of its own -> the process, the address and the curl command that it tells."""
    command = [sys.executable, "-m", "rmlab", "serve", *map(str, words), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment}
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        lines = [child.stdout.readline() for _ in range(2)]
        found = re.match(r"serving (\S+) at (http://\S+) \(", lines[0])
        assert found, (lines, child.poll() is not None and child.stderr.read())
        yield child, found[2], lines[1].removeprefix("try it: ").strip()
    finally:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal(head, number):
    with served(head, "--name", "mine") as (child, url, curl):
        client = RewardClient(url)
        wanted = on_hashes().score(["How are you?"] * 2, ["I am well, thank you.", "Go away."]).tolist()
        assert client.score(["How are you?"] * 2, ["I am well, thank you.", "Go away."]) == pytest.approx(
            wanted
        )
        words = shlex.split(curl)
        assert words[:2] == ["curl", f"{url}/score"]
        if shutil.which("curl"):
            done = subprocess.run([*words, "-sS"], capture_output=True, text=True, check=True)
            assert f'"scores":[{wanted[0]}'[:20] in done.stdout
        child.send_signal(number)
        out, said = child.communicate(timeout=60)
        assert (child.returncode, out, said) == (0, "", "")


@pytest.mark.alone
def test_a_signal_under_load_loses_nothing(head):
    """Clients that ask without a pause until they are told that the server ends."""
    import threading

    answered, failed = [], []
    with served(head) as (child, url, _):

        def client() -> None:
            own = RewardClient(url, retries=0)
            try:
                while True:
                    answered.append(own.score(["p"], ["good day"])[0])
            except RewardServerError as error:
                failed.append(str(error))

        threads = [threading.Thread(target=client) for _ in range(16)]
        for thread in threads:
            thread.start()
        while len(answered) < 200:
            threads[0].join(0.01)
        child.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert child.wait(timeout=60) == 0
    assert len(failed) == 16 and all("ConnectError" in why for why in failed), failed
    assert set(answered) == set(on_hashes().score(["p"], ["good day"]).tolist())


def test_others_need_the_token(head, tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o644)
    with served(head, "--host", "0.0.0.0", "--token-file", file, "--access-log") as (child, url, curl):
        url = f"http://127.0.0.1:{url.rpartition(':')[2]}"
        assert f"Bearer $(cat {file})" in curl and TOKEN not in curl
        assert RewardClient(url, TOKEN).score(["p"], ["good"]) == on_hashes().score(["p"], ["good"]).tolist()
        with pytest.raises(RewardServerError, match="401, send the server's token"):
            RewardClient(url, "another-token-of-that-length").score(["p"], ["good"])
        child.terminate()
        _, said = child.communicate(timeout=60)
    first, *lines = said.splitlines()
    assert "others on this machine can read" in first and f"chmod 600 {file}" in first
    assert [line.split()[:3] for line in lines] == [
        ["/score", "200", "texts=1"],
        ["/score", "401", "texts=0"],
    ]


def test_the_token_of_the_environment(head):
    with served(head, "--allow-host", "rm.example:8000", RMLAB_SERVE_TOKEN=TOKEN) as (_, url, curl):
        assert "Bearer $RMLAB_SERVE_TOKEN" in curl and TOKEN not in curl
        port = int(url.rpartition(":")[2])
        for host, status in (("rm.example:8000", 200), ("other.example", 421)):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
                link.sendall(f"GET /health HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
                assert link.recv(65536).startswith(f"HTTP/1.1 {status}".encode())
        assert RewardClient(url, TOKEN).score(["p"], ["good"])
        with pytest.raises(RewardServerError, match="401"):
            RewardClient(url, "").score(["p"], ["good"])


def test_a_text_too_long_is_refused_by_a_strict_server(tiny_model, tmp_path):
    on_model(tiny_model, "end", max_tokens=64).save(tmp_path / "head")
    with served(tmp_path / "head", "--strict", "--device", "cpu") as (_, url, _curl):
        assert RewardClient(url).score(["Hi"], ["short"])
        with pytest.raises(RewardServerError, match="400, text 2 is longer than the embedding model reads"):
            RewardClient(url).score(["Hi"] * 2, ["short", "long " * 50])


def test_what_it_does_not_start_with(cli, head, tmp_path, monkeypatch):
    monkeypatch.delenv("RMLAB_SERVE_TOKEN", raising=False)
    short, none = tmp_path / "short", tmp_path / "none"
    short.write_text("abc")
    os.mkfifo(tmp_path / "pipe")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for words, code, line in [
            (
                (head, "--port", port),
                3,
                f"port {port} of 127.0.0.1 is in use; give another with --port, or 0",
            ),
            (
                (head, "--host", "0.0.0.0", "--port", 0),
                3,
                "so the server needs a token: write one into a file",
            ),
            ((head, "--host", "nowhere.invalid"), 2, "--host nowhere.invalid is no address of this machine"),
            ((head, "--host", "192.0.2.1"), 3, "nothing can listen at 192.0.2.1"),
            ((head, "--token-file", short), 2, "a token has 16 to 4096 letters"),
            ((head, "--token-file", none), 3, "cannot be read (No such file"),
            ((head, "--token-file", tmp_path), 3, "--token-file"),
            ((head, "--token-file", tmp_path / "pipe"), 3, "is no file"),
            ((head, "--max-texts", 9000, "--port", 0), 2, "--max-texts 9000 is more than may wait"),
            ((head, "--max-body", 2**40, "--port", 0), 2, "all requests together may hold"),
            ((head, "--device", "tpu", "--port", 0), 2, "tpu"),
            ((tmp_path / "away", "--port", 0), 3, "away"),
            ((tmp_path, "--port", 0), 3, "holds no reward model"),
        ]:
            result = cli("serve", *words)
            assert (result.code, result.out) == (code, ""), words
            assert line in result.line, result.line


def test_a_model_that_is_not_there(cli, tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "model")
    on_model(tmp_path / "model", "mean").save(tmp_path / "head")
    (tmp_path / "model").rename(tmp_path / "moved")
    result = cli("serve", tmp_path / "head", "--port", 0)
    assert result.code == 3 and "the base model of the head is not there" in result.line
    with served(tmp_path / "head", "--base-model", tmp_path / "moved") as (_, url, _curl):
        assert RewardClient(url).score(["Hi"], ["yes"])


def test_a_head_that_gives_no_numbers_is_seen_at_the_start(cli, tmp_path):
    model = on_hashes()
    model.head.weight[:] = 1e308
    model.save(tmp_path / "head")
    result = cli("serve", tmp_path / "head", "--port", 0)
    assert result.code == 3 and "gave" in result.line


def test_without_its_packages(cli, head, monkeypatch):
    monkeypatch.setattr("rmlab.config.optional_packages.is_installed", lambda package: package != "starlette")
    result = cli("serve", head)
    assert result.code == 3 and "rmlab serve needs starlette; run: " in result.line and "serve" in result.line


def test_requests_that_were_given_up_are_told(cli, head, monkeypatch):
    def given_up(service, listener, on_start):
        service.cut_off = 3
        return True

    monkeypatch.setattr("rmlab.serve.server.run_server", given_up)
    done = cli("serve", head, "--port", 0, "--drain-seconds", 7)
    assert done.code == 1 and "3 requests were given up" in done.line and "--drain-seconds 7" in done.line
