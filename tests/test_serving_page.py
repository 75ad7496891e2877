"""docs/serve.md run as printed, with a server at a free port in place of 8000."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from live_server import JSON, live
from printed_pages import ROOT, blocks, lines_of

from rmlab.cli import app
from rmlab.reward.model import RewardModel
from rmlab.serve.scorer import ModelScorer

ADDRESS = "http://127.0.0.1:8000"
TEXT = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")


def test_the_page_from_pairs_to_requests(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    (_, _, pairs), (_, _, fits), *rest = blocks("serve.md")
    exec(compile(pairs, "serve.md", "exec"), names)
    *first, (_, serve, pattern) = lines_of(fits)
    for program, *words in first:
        done = cli(*words)
        assert (program, done.code) == ("rmlab", 0), done.err
    (head,) = sorted(Path().glob(pattern))
    assert serve == "serve"
    model = RewardModel.load(head)
    wanted = model.score(["How do I do it?"] * 2, ["Glad to help.", "I hate this."]).tolist()
    with live(ModelScorer(model, "page")) as server:
        monkeypatch.setenv("RMLAB_REWARD_URL", server.url)
        replies = []
        for _, language, text in rest:
            if language == "python":
                exec(compile(text.replace(ADDRESS, server.url), "serve.md", "exec"), names)
            elif language == "sh":
                replies += [asked(server, words) for words in lines_of(text)]
        assert names["scores"] == pytest.approx(wanted) and wanted[0] > wanted[1]
        score, classify, reward = (reply.json for reply in replies)
        assert score["scores"] == pytest.approx(wanted)
        assert classify["data"][0]["probs"][0] == pytest.approx(wanted[0])
        assert reward["rewards"] == pytest.approx(wanted[:1])
        said = {"prompts": ["How do I do it?"], "completions": ["I hate this."]}
        assert names["reward"](**said) == pytest.approx(wanted[1:])
        found = names["compute_score"]("any", "Glad to help.", None, names["extra_info"])
        assert asyncio.run(found) == pytest.approx(wanted[0])


def asked(server: Any, words: list[str]) -> Any:
    """Sends what a command of curl would send."""
    program, url, header, kind, data, body = words
    assert (program, header, kind, data) == ("curl", "-H", f"Content-Type: {JSON}", "-d")
    reply = server.ask(url.removeprefix(ADDRESS), body.encode())
    assert reply.status == 200, reply.body
    return reply


def test_every_option_is_in_the_table_with_its_default():
    params = typer.main.get_command(app).commands["serve"].params  # type: ignore[attr-defined]
    options = {name: p.default for p in params for name in p.opts if name.startswith("--")}
    rows = re.findall(r"^\| (`--[^|]+) \| ([^|]*)\|", TEXT, flags=re.MULTILINE)
    told = [(name, default) for names, default in rows for name in re.findall(r"`(--[\w-]+)`", names)]
    assert sorted(name for name, _ in told) == sorted(options.keys() - {"--help"})
    for name in ("--queue", "--drain-seconds", "--max-texts", "--max-chars"):
        assert f"{options[name]:,}" in dict(told)[name]
    for name in ("--host", "--port"):
        assert str(options[name]) in dict(told)[name]
