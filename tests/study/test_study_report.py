"""The report of a study: whole, escaped, the same for the same content, and there whatever is missing."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from study_synthetic import claim, finding, sweep

from rmlab.stages.study import control_means
from rmlab.study.claims import judge_claims, means
from rmlab.study.page import render, write_pictures
from rmlab.study.report_content import Part, StudyContent
from rmlab.study.verdict import RULE

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from report_page_parser import Page

NASTY = "<script>alert(1)</script>&\u202e\x00"
METRICS = [
    "best_of_largest",
    "spearman",
    "best_of_4",
    "best_of_16",
    "expected_of_4",
    "expected_of_16",
    "expected_of_largest",
]
SETUPS = {"base · kind · small": 1.0, "tuned · kind · small": 0.9}


def content(
    n_findings: int = 2,
    failed: tuple[str, ...] = ("c",),
    setups: dict[str, float] | None = None,
    errors: dict[str, float] | None = None,
    **more,
) -> StudyContent:
    values, members = sweep({"a": 0.5, "b": 0.2, "c": 0.1}, failed=failed, setups=setups, errors=errors)
    claims = [
        claim(),
        claim(f"b beats a {NASTY}", plus=[{"arm": "b"}], minus=[{"arm": "a"}]),
        claim("c beats a", plus=[{"arm": "c"}], minus=[{"arm": "a"}]),
    ]
    made = [
        finding(claims, name, x=x, proxy=True, note=NASTY)
        for name, x in zip(("best_of_n", "noise"), ("n", "arm"), strict=True)
    ][:n_findings]
    judged = judge_claims({f.name: members for f in made}, made, values)
    parts = [
        Part(
            f,
            [j for j in judged if j.finding.name == f.name],
            means(members, values, METRICS),
            control_means(values, members, METRICS),
            values.flagged(members),
            15,
            32,
        )
        for f in made
    ]
    return StudyContent(NASTY, NASTY, parts, facts={"Cells": NASTY}, warnings=[NASTY], command=NASTY, **more)


@pytest.fixture(scope="module")
def html() -> str:
    return render(content())


def test_the_page_is_whole(html):
    page = Page(html)
    assert page.tags["html"] == page.tags["main"] == page.tags["h1"] == 1 and page.tags["section"] == 5
    for sentence in RULE:
        assert sentence in page.text
    for word in (
        "supported",
        "contradicted",
        "negligible",
        "not run",
        "oracle",
        "random",
        "Title of noise",
        "★",
    ):
        assert word in page.text, word
    assert "a beats b" in page.text and "no <b>trees</b> here" in page.text


def test_all_text_is_escaped(html):
    assert "<script" not in html and "\u202e" not in html and "\x00" not in html and "<b>trees" not in html
    assert "&lt;script&gt;" in html


def test_ids_are_unique_references_have_targets_and_figures_a_text(html):
    attributes = Page(html).attributes
    ids = [value for name, value in attributes if name == "id"]
    assert len(ids) == len(set(ids))
    references = {v[1:] for name, v in attributes if name == "href" and v.startswith("#")}
    assert references | set(re.findall(r"url\(#([^)]+)\)", html)) <= set(ids)
    figures = re.findall(r"<svg(?![^>]*swatch)[^>]*>", html)
    assert len(figures) == 4 and all(re.search(r'aria-label="[^"]{20,}"', tag) for tag in figures)
    assert not re.search(r'(src|href)="(?!#|data:)', html)


def test_where_it_differs_from_the_study(html):
    differing = html[html.index("Where this differs") : html.index('id="finding-1"')]
    assert "b beats a" in differing and "is contradicted" in differing and "c beats a" not in differing


def test_only_a_finding_with_claims_of_the_study_is_called_one_of_it(html):
    ours = finding([claim(in_study=False)], name="ours")
    page = render(StudyContent("x", "y", [Part(ours, [], [], {})]))
    assert "<b>The claim.</b>" in page and "The study’s claim" not in page
    assert "<b>The study’s claim.</b>" in html


def test_tiles_count_what_survives_the_correction(html):
    tiles = html[html.index('class="tiles"') : html.index("Verdicts are counted after")]
    words = re.sub(r"<[^>]*>", " ", tiles)
    counted = {w: int(n) for w, n in re.findall(r"(supported|contradicted|undecided|not run)\s+(\d+)", words)}
    assert counted == {"supported": 2, "contradicted": 2, "undecided": 0, "not run": 2}


def test_each_set_up_is_shown_where_there_are_several(html):
    assert "On each set-up" not in html
    several = Page(render(content(setups=SETUPS))).text
    assert "On each set-up" in several and "2 in favour" in several and "2 set-ups" in several
    for setup in SETUPS:
        assert setup in several


def test_answers_of_a_coin_are_marked():
    text = Page(render(content(failed=(), errors={"c": 0.49}))).text
    assert "49.0% wrong" in text and "No claim is judged where" in text and "49% of the answers at c" in text


def test_equal_content_gives_an_equal_page(html):
    assert render(content()) == html


def test_nothing_has_run():
    page = Page(render(content(failed=("a", "b", "c"))))
    assert "not run" in page.text and "undecided or were not run may be true or false" in page.text


def test_pictures_are_png_of_what_was_run(tmp_path):
    write_pictures(content(), tmp_path)
    for name in ("noise.png", "best_of_n.png"):
        data = (tmp_path / name).read_bytes()
        assert data.startswith(b"\x89PNG") and len(data) > 5000
    again = tmp_path / "again"
    again.mkdir()
    write_pictures(content(), again)
    assert (again / "noise.png").read_bytes() == (tmp_path / "noise.png").read_bytes()
    write_pictures(content(failed=("a", "b", "c")), tmp_path / "none")
    assert not (tmp_path / "none").exists()
