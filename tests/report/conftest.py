"""What the tests of the report share: made-up content and two rendered pages."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from report_page_parser import NASTY
from report_synthetic import make

from rmlab.report.content import ReportContent
from rmlab.report.render import render


@pytest.fixture(scope="session")
def make_content() -> Callable[..., ReportContent]:
    return make


@pytest.fixture(scope="session")
def html() -> str:
    """A page of two heads and three controls whose responses are all nasty."""
    return render(make(text=NASTY))


@pytest.fixture(scope="session")
def bare() -> str:
    """One head, no control, one N; no training log, no stages, no git."""
    content = make({"only": 0.5}, n_prompts=4, ns=[4], sft_log=None, stages=[], git={})
    for name in ("metrics", "curves", "paired", "calibration", "head_scores"):
        frame = getattr(content, name)
        object.__setattr__(content, name, frame[(frame["arm"] == "only") & (name != "paired")])
    return render(content)


@pytest.fixture(autouse=True)
def quick_figures() -> None:
    """Takes the place of the one that leaves figures blank."""
