"""The page as a whole: well-formed, complete, and there whatever is missing."""

from __future__ import annotations

import re

import numpy as np
import pytest
from report_page_parser import NASTY, Page

from rmlab.report.render import render


def test_the_page_is_balanced_html(html):
    page = Page(html)
    assert page.tags["html"] == page.tags["main"] == page.tags["h1"] == 1
    assert page.tags["section"] == 9


def test_the_balance_check_sees_a_tag_that_does_not_close():
    with pytest.raises(AssertionError):
        Page("<p><b>x</p>")


def test_every_arm_is_in_the_heads_table_and_the_chosen_one_is_marked(html):
    heads = html[html.index('id="heads"') : html.index('id="curves"')]
    cells = [c.strip() for c in Page(heads[heads.index("<table") : heads.index("</table>") + 8]).cells]
    names = ["copying", "golden_regression", "length", "oracle", "random"]
    arms = [c for c in cells if c in ("mlp_bt chosen", "a$b<i>", *names)]
    assert sorted(arms[:2]) == ["a$b<i>", "mlp_bt chosen"]
    assert sorted(arms[2:]) == names


def test_ids_are_unique_and_every_reference_has_its_target(html):
    attributes = Page(html).attributes
    ids = [value for name, value in attributes if name == "id"]
    assert len(ids) == len(set(ids)) > 8
    references = {v[1:] for name, v in attributes if name == "href" and v.startswith("#")}
    references |= set(re.findall(r"url\(#([^)]+)\)", html))
    assert references <= set(ids)


def test_every_figure_has_an_alternative_text(html):
    figures = re.findall(r"<svg(?![^>]*swatch)[^>]*>", html)
    assert len(figures) > 10
    assert all('role="img"' in tag and re.search(r'aria-label="[^"]{20,}"', tag) for tag in figures)


def test_equal_content_gives_an_equal_page(html, make_content):
    assert render(make_content(text=NASTY)) == html


def test_warnings_stand_at_the_top_and_in_full(html):
    assert "1 warning from the stages" in html
    assert "12 of 400 comparisons were ties" in Page(html).text


def test_one_arm_and_no_other(html, bare):
    page = Page(bare)
    assert "There is no other arm to compare with." in page.text
    assert "only chosen" in [c.strip() for c in page.cells]
    assert "Controls" in [c.strip() for c in Page(html).cells]
    assert "Controls" not in [c.strip() for c in page.cells]


def test_the_selected_quantile_has_its_column(html):
    heads = html[html.index('id="heads"') : html.index('id="curves"')]
    cells = Page(heads[heads.index("<table") : heads.index("</table>") + 8]).cells
    header = cells[: cells.index("Correlationwith length") + 1]
    assert len(header) == 10 and header[4] == "Selectedquantile"


def test_a_single_n(html, bare):
    assert "Best-of-8" in Page(html).text and "Best-of-4" in Page(bare).text
    assert {"0.19", "0.64"} <= set(Page(html).svg_texts)
    assert "0.64" in Page(bare).svg_texts and "0.19" not in Page(bare).svg_texts


def test_without_training_log_stages_and_git_the_page_says_so(html, bare):
    assert "Fine-tuning of the policy" in html and "Fine-tuning of the policy" not in bare
    assert "No stage gave a warning" in bare and "No stage gave a warning" not in html
    assert "warning from" not in bare
    assert "Not run from a git checkout" in bare and "Not run from a git checkout" not in html


def test_no_metric_at_all_shows_dashes(make_content):
    content = make_content(n_prompts=4)
    for name in ("metrics", "curves", "paired"):
        frame = getattr(content, name)
        object.__setattr__(content, name, frame.assign(value=np.nan, low=np.nan, high=np.nan))
    html = render(content)
    page = Page(html)
    assert not re.search(r"\bnan\b", html.lower())
    assert [c.strip() for c in page.cells].count("—") >= 5 * 8


def test_empty_scores_and_calibration(make_content):
    full = make_content(n_prompts=4)
    content = make_content(n_prompts=4)
    for name in ("calibration", "head_scores", "responses", "prompts"):
        object.__setattr__(content, name, getattr(full, name).iloc[:0])
    page = Page(render(content))
    assert "There are no scores to show." in page.text
    assert "No head gives pair probabilities" in page.text


def test_controls_are_explained_only_where_they_stand(html, bare):
    assert "repeated from the prompt" in Page(html).text
    assert "repeated from the prompt" not in Page(bare).text
