"""The report in a real browser: what models wrote is shown, and nothing of it runs or reaches out."""

from __future__ import annotations

import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from rmlab.report.render import render

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(BROWSER is None, reason="needs chromium (Debian: apt-get install chromium)"),
]
RAN = "document.documentElement.setAttribute('data-'+'ran','1')"  # the page's text alone has no data-ran


@pytest.fixture
def server():
    """An address, and what was asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}", asked
        http.shutdown()


def attacks(address: str) -> list[str]:
    return [
        f"<script>{RAN}</script>",
        f'"><img src={address}/img onerror="{RAN}">',
        f"<svg onload=\"{RAN}\"><image href='{address}/svg'/></svg>",
        f"</style></title></pre><script src={address}/script></script>",
        f"<iframe src=\"javascript:parent.{RAN}\"></iframe><iframe src='{address}/frame'></iframe>",
        f"<style>@import url({address}/css); body{{background:url({address}/background)}}</style>",
        f"<meta http-equiv=refresh content='0;url={address}/refresh'><base href='{address}/'>",
        f'<body onpageshow="{RAN}"><details open ontoggle="{RAN}">x</details>',
        f"]]></text><script>{RAN}</script>",
        f"{{{{ 7*7 }}}}{{% raw %}}<input autofocus onfocus=\"{RAN}\"><a href='javascript:{RAN}'>x</a>",
    ]


def opened(html: str, folder: Path) -> str:
    """The page as the browser has it once its scripts have had their time."""
    file = folder / "page.html"
    file.write_text(html, encoding="utf-8")
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--virtual-time-budget=5000",
    ]
    home = f"--user-data-dir={folder / 'browser'}"
    done = subprocess.run(
        [str(BROWSER), *flags, home, "--dump-dom", file.as_uri()],
        capture_output=True,
        timeout=240,
        check=True,
    )
    return done.stdout.decode("utf-8")


@pytest.mark.parametrize("number", [0, 1, 3])
def test_the_browser_would_run_it_if_it_were_let(number, server, tmp_path):
    """Else the other test could not fail: an attack in a page without escapes and policy."""
    address, asked = server
    page = opened(f"<html><body>{attacks(address)[number]}</body></html>", tmp_path)
    assert "data-ran" in page[:200] or asked


def test_nothing_in_a_report_runs_or_reaches_out(make_content, server, tmp_path):
    address, asked = server
    evil = " ".join(attacks(address))
    content = make_content(
        {evil[:300]: 0.5, "only": 0.4},
        n_prompts=2,
        sft_log=None,
        text=evil,
        title=f"title {evil}",
        verdict=[evil],
        commands=[evil],
        config_yaml=evil,
        facts={evil: evil},
        git={evil: evil},
        versions={evil: evil},
    )
    content.prompts["messages"] = [[{"role": evil, "content": evil}]] * len(content.prompts)
    page = opened(render(content), tmp_path)
    assert "Which" in page or "title" in page
    assert "&lt;script&gt;" in page, "it is shown, as text"
    assert "data-ran" not in page
    assert asked == []
