"""What models and people write, in a report: it is shown as text, and nothing of it runs or reaches out."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from report_page_parser import Page

from siege.base import Cannot, Ground, case

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_RAN = "document.documentElement.setAttribute('data-'+'ran','1')"  # its effect alone has the whole name
_ALLOWED = ("#", "data:,")  # where links of a page may lead: into itself, or nowhere


def _attacks(address: str) -> list[str]:
    return [
        f"<script>{_RAN}</script>",
        f"<ScRiPt src={address}/script></sCrIpT>",
        f'"><img src={address}/img onerror="{_RAN}">',
        f"' onmouseover='{_RAN}' x='",
        f"<svg/onload=\"{_RAN}\"><image href='{address}/svg'/></svg>",
        f"</style></title></textarea></pre><script>{_RAN}</script>",
        f'<iframe srcdoc="<script>parent.{_RAN}</script>"></iframe><iframe src={address}/frame></iframe>',
        f"<style>@import url({address}/css); body{{background:url({address}/background)}}</style>",
        f"<meta http-equiv=refresh content='0;url={address}/refresh'><base href='{address}/'>",
        f"<link rel=stylesheet href={address}/sheet><link rel=prefetch href={address}/prefetch>",
        f'<details open ontoggle="{_RAN}">x</details><video src={address}/video autoplay onerror="{_RAN}">',
        f"]]></text></svg><script>{_RAN}</script><!--",
        f"<a href='javascript:{_RAN}'>x</a><form action={address}/form><button autofocus onfocus=\"{_RAN}\">",
        f"{{{{ 7*191 }}}}{{% for x in ().__class__.__base__.__subclasses__() %}}{{{{ x }}}}{{% endfor %}} {address}",
        f"\x00\x1b[2J\x07\u202e{_RAN}\u2066\ufeff\x85",
        f"&lt;script&gt;{_RAN}&lt;/script&gt;&#60;img src={address}/entity&#62;",
        f"$\\href{{{address}/formula}}{{x}}$ ${_RAN}$ `![x]({address}/markdown)`",
    ]


def _report(ground: Ground, address: str) -> Path:
    """The report of a run on prompts and answers that are attacks."""
    attacks = _attacks(address)
    rows = []
    for n in range(2 * len(attacks)):
        turned = " ".join(attacks[n % len(attacks) :] + attacks[: n % len(attacks)])
        rows += [
            {"prompt": f"{n} {turned}", "response": f"{k} {turned * k}", "score": float(n + k % 3)}
            for k in range(4)
        ]
    (ground.folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = ("input=rows.jsonl", "embedder=hashing", "prompts.test_fraction=0.5", "prompts.template=plain")
    small = ("comparisons.n=20", "comparisons.n_validation=5", "evaluation.resamples=20")
    ended = ground.rmlab("run", "experiment=own_responses", *settings, *small, "arms=['head=linear']")
    ended.fine().plain()
    return next(ground.folder.glob("artifacts/report/*/report.html"))


@case("what is written in prompts and answers is text in a report")
def _(ground: Ground) -> None:
    html = _report(ground, "http://127.0.0.1:9").read_text(encoding="utf-8")
    page = Page(html)
    forbidden = ("script", "iframe", "img", "object", "embed", "base", "form", "video")
    assert not [tag for tag in forbidden if page.tags[tag]], "a tag of an attack"
    assert not [name for name, _ in page.attributes if name.startswith("on")], "an attribute that runs code"
    led = [v for name, v in page.attributes if name.split(":")[-1] in ("src", "href", "action", "srcdoc")]
    assert all(place.startswith(_ALLOWED) for place in led), f"it leads to {led[:3]}"
    assert "<script>" in page.text and "7*191" in page.text, "the attacks are not shown"
    assert "1337" not in page.text, "a template of an attack was rendered"
    assert not [c for c in html if ord(c) < 32 and c not in "\n\t"], "it has control characters"
    assert not [c for c in "\u202e\u2066" if c in html], "its text can be turned"


@contextmanager
def _listening() -> Iterator[tuple[str, list[str]]]:
    """An address on this machine, and what is asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}", asked
        http.shutdown()


def _opened(ground: Ground, page: Path) -> str:
    """The page as a browser has it once its scripts have had their time."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        raise Cannot("there is no chromium (Debian: apt-get install chromium)")
    home = f"--user-data-dir={ground.folder / 'browser'}"
    flags = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--virtual-time-budget=5000",
    )
    command = [browser, *flags, home, "--dump-dom", page.as_uri()]
    return subprocess.run(command, capture_output=True, timeout=240, check=True).stdout.decode()


@case("in a browser, nothing of a report runs or reaches out", quick=False)
def _(ground: Ground) -> None:
    with _listening() as (address, asked):
        bare = ground.folder / "bare.html"
        bare.write_text(f"<html><body>{_attacks(address)[0]}</body></html>")
        assert "data-ran" in _opened(ground, bare), "the browser runs nothing, so this case shows nothing"
        page = _opened(ground, _report(ground, address))
        assert "&lt;script&gt;" in page, "the attacks are not shown"
        assert "data-ran" not in page, "code of an attack was run"
        assert not asked, f"it asked for {asked[:3]}"
