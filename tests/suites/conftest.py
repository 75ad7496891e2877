"""A fitted head, and each suite in turn."""

from __future__ import annotations

import pytest
from small_settings import SMALL
from suite_files import ROWS

from rmlab.cli import app


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """A linear head on hashed words."""
    out = tmp_path_factory.mktemp("bench")
    for stage in ("sample", "annotate", "embed", "fit-rm"):
        app([stage, *SMALL, "sft=none", "arms=['head=linear']", f"out={out}"], standalone_mode=False)
    return next((out / "fit_rm").glob("[!.]*"))


@pytest.fixture(params=ROWS)
def suite(request):
    return request.param
