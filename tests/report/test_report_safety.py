"""Nothing from models, prompts or configuration becomes markup; nothing is loaded from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from report_page_parser import NASTY, Page
from report_synthetic import design

from rmlab.report.content import StageRow
from rmlab.report.figures import curves
from rmlab.report.render import render


def test_a_nasty_response_is_shown_as_text_only(html):
    page = Page(html)
    assert NASTY in page.text
    assert page.tags["script"] == page.tags["img"] == 0
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_whatever_comes_from_outside_is_escaped(make_content):
    fields = ["title", "experiment", "question", "reward", "config_yaml", "created"]
    stage = StageRow(
        f"stage{NASTY}", f"name{NASTY}", 1, 1.0, "f" * 64, {f"count{NASTY}": 1}, [f"warning{NASTY}"]
    )
    fitted = design(f"only{NASTY}", f"pairing{NASTY}.X", chosen={f"chosen{NASTY}": f"choice{NASTY}"})
    content = make_content(
        {f"only{NASTY}": 0.5},
        designs=[fitted],
        n_prompts=2,
        sft_log=None,
        verdict=[f"verdict{NASTY}"],
        commands=[f"command{NASTY}"],
        stages=[stage],
        versions={f"package{NASTY}": f"version{NASTY}"},
        git={f"key{NASTY}": f"state{NASTY}"},
        facts={f"fact{NASTY}": f"value{NASTY}"},
        **{name: name + NASTY for name in fields},
    )
    message = {"role": f"role{NASTY}", "content": f"prompt{NASTY}"}
    content.prompts["messages"] = [[message]] * len(content.prompts)
    page = Page(render(content))
    others = "only stage name count warning pairing chosen choice verdict command package version key state fact value role prompt"
    assert [name for name in [*fields, *others.split()] if name + NASTY not in page.text] == []
    assert page.tags["script"] == page.tags["img"] == 0


def test_an_arm_with_markup_and_dollars_is_itself_everywhere(html):
    page = Page(html)
    assert page.tags["i"] == 0
    assert "a$b<i>" in page.cells
    # As one text in figures, not as formula glyphs: six metric panels at least, curves, paired, titles.
    assert page.svg_texts.count("a$b<i>") >= 8


def test_nothing_is_loaded_from_elsewhere(html):
    addresses = [v for name, v in Page(html).attributes if name.split(":")[-1] in ("src", "href", "action")]
    assert addresses and all(a.startswith(("#", "data:,")) for a in addresses)
    assert "@import" not in html
    assert all(target.startswith("#") for target in re.findall(r"url\(\s*['\"]?([^)]*)", html))
    assert set(re.findall(r"https?://[^\s\"'<)]+", html)) == {"http://www.w3.org/2000/svg"}


def test_paired_dollars_are_no_formula(make_content):
    svg = curves.best_of_n(make_content({"a$b$c": 0.5}, n_prompts=2))
    texts = [
        "".join(node.itertext()).strip() for node in ET.fromstring(svg).iter() if node.tag.endswith("}text")
    ]
    assert "a$b$c" in texts


_FIGURES = """
import sys
import rmlab.study.page, rmlab.report.render
import matplotlib
print(matplotlib.matplotlib_fname.__module__, matplotlib.rcParamsOrig["lines.linewidth"])
"""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("settings", ["lines.linewidth: 99\n", None])
def test_settings_of_figures_in_the_current_folder_are_not_read(tmp_path, settings):
    """None: a pipe, at which its reader waits for ever."""
    if settings is None:
        os.mkfifo(tmp_path / "matplotlibrc")
    else:
        (tmp_path / "matplotlibrc").write_text(settings)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-P", "-c", _FIGURES],
        cwd=tmp_path, env=environment, timeout=300, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split() == ["matplotlib", "1.5"] and not done.stderr, done.stderr
