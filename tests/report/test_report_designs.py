"""Designs in the report: their words, letters, table and figure; and what becomes of many heads."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from report_page_parser import Page
from report_synthetic import design

from rmlab.report import wording
from rmlab.report.comparison_designs import design_rows
from rmlab.report.figures import curves
from rmlab.report.figures.histograms import label_variances
from rmlab.report.figures.svg import COLOURS
from rmlab.report.render import render
from rmlab.report.shown_arms import N_PANELS, leading, ordered_arms
from rmlab.report.wording import design_words

HEADS = {f"h{i:02}": 0.1 + i for i in range(12)}  # the best first
COMPARED = {"n": 400, "n_ties": 0, "error_rate": 0.2, "mean_margin": 1.0, "label_variance_mean": 0.1}


@pytest.fixture(scope="module")
def many(make_content):
    """Twelve heads, of which the worst is the chosen one."""
    return make_content(HEADS, n_prompts=40, n_responses=4, ns=[1, 4], chosen="h11")


@pytest.fixture(scope="module")
def many_html(many):
    return render(many)


@pytest.fixture
def small_page(make_content):
    """The page of one head, fitted as designs say, with hardly a figure."""

    def page(*designs):
        content = make_content({"a": 0.5}, n_prompts=4, designs=list(designs), sft_log=None)
        metrics = content.metrics[content.metrics["metric"] == "best_of_n"]
        nothing = {name: getattr(content, name).iloc[:0] for name in ("curves", "calibration", "head_scores")}
        return render(replace(content, metrics=metrics, **nothing))

    return page


def _config(pairing=None, noise=None, selection=None, rounds=1):
    return {
        "pairing": {"_name_": "lists", "k": 4, "choice": "random"} | (pairing or {}),
        "noise": {"_name_": "crowd", "errors": [0.1, 0.25], "merge": "share"} | (noise or {}),
        "selection": {"_name_": "entropy"} | (selection or {}),
        "comparisons": {"n": 400, "rounds": rounds},
    }


def _rows(content):
    return design_rows(content, ordered_arms(content))


def test_words_name_the_components_and_their_numbers():
    config = _config()
    assert design_words(config, [config]) == "lists k=4 · crowd errors=[0.1, 0.25]"


def test_words_name_what_other_heads_have_otherwise():
    one, other = _config(), _config(pairing={"choice": "diverse"}, noise={"merge": None})
    assert design_words(other, [one, other]) == (
        "lists k=4 choice=diverse · crowd errors=[0.1, 0.25] merge=null"
    )
    assert "choice=random" in design_words(one, [one, other])


def test_selection_is_named_where_there_are_rounds_of_it():
    config = _config(rounds=3)
    assert design_words(config, [config]).endswith(" · entropy in 3 rounds")


def test_an_annotator_without_noise_is_called_so():
    silent = {"_name_": "logistic", "beta": None, "error": None}
    config = _config() | {"noise": silent}
    assert design_words(config, [config]) == "lists k=4 · no noise"
    noisy = config | {"noise": silent | {"error": 0.1}}
    assert design_words(noisy, [noisy]) == "lists k=4 · logistic error=0.1"


def test_words_of_a_foreign_component():
    config = {"pairing": {"_name_": "own.Mine"}, "noise": {"_name_": "own.labels.Mine", "flag": True}}
    assert design_words(config, [config]) == "own.Mine · own.labels.Mine"


def test_heads_fitted_on_the_same_comparisons_share_a_letter(make_content):
    same, lists, odd = design("b"), design("c", "lists"), design("d")
    odd.metrics["train_labels"] = odd.metrics["train_labels"] | {"mean_margin": 9.0}
    heads = dict(zip("abcd", (0.1, 0.5, 1, 2), strict=True))
    rows = _rows(make_content(heads, n_prompts=40, designs=[design("a"), same, lists, odd]))
    assert [(row.arm.name, row.letter) for row in rows] == [("a", "A"), ("b", "A"), ("c", "B"), ("d", "C")]


def test_letters_go_on_after_z(make_content):
    heads = {f"h{i}": 0.1 * (i + 1) for i in range(28)}
    designs = [design(name, f"p{i}.P") for i, name in enumerate(heads)]
    rows = _rows(make_content(heads, n_prompts=3, n_responses=4, ns=[4], designs=designs))
    assert [row.letter for row in rows][24:] == ["Y", "Z", "A2", "B2"]


def test_a_row_holds_the_numbers_of_the_manifest(make_content):
    labels = COMPARED | {"pairwise_agreement": 0.7, "fleiss_kappa": 0.4}
    flagged = {"n": 8, "precision": 0.5, "recall": None}
    fitted = design("a", train_labels=labels, flagged=flagged, converged=False)
    row = _rows(make_content({"a": 0.5}, designs=[fitted]))[0]
    assert (row.n, row.n_ties, row.error, row.gap, row.variance) == (400, 0, 20, 1, 0.1)
    assert (row.agreement, row.kappa) == (70, 0.4)
    assert (row.n_flagged, row.precision, math.isnan(row.recall)) == (8, 0.5, True)
    assert not row.is_converged


def test_of_selected_comparisons_the_agreement_is_that_on_the_candidates(make_content):
    asked = {"pairwise_agreement": 0.6, "fleiss_kappa": 0.2}
    row = _rows(make_content({"a": 0.5}, designs=[design("a", candidates_labels=asked)]))[0]
    assert (row.agreement, row.kappa, row.n) == (60, 0.2, 400)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"l2": 0.1, "prior_precision": 39.900000000000006}, "l2 0.1, prior_precision 39.9"),
        ({"member-000.epoch": 30, "member-001.epoch": 7, "member-002.epoch": 7}, "epoch 7 to 30"),
        ({"a.kind": "x", "b.kind": "y", "c.kind": "x"}, "kind x or y"),
        ({"a.l2": None, "b.l2": 1.0}, "l2 — or 1"),
        ({}, ""),
        (None, ""),
    ],
)
def test_what_was_chosen_is_short(make_content, chosen, words):
    assert _rows(make_content({"a": 0.5}, designs=[design("a", chosen=chosen)]))[0].chosen == words


def test_equal_distributions_share_a_panel(make_content):
    designs = [design("a", prob=1.0), design("b", "lists", prob=1.0), design("c", prob=0.9)]
    content = make_content({"a": 0.1, "b": 0.5, "c": 2.0}, n_prompts=40, designs=designs, chosen="c")
    panels = label_variances(content)
    assert [next(t for t in Page(svg).svg_texts if "mean" in t) for svg in panels] == [
        "A and B, mean 0.000",
        "C, mean 0.090",
    ]
    assert "the comparisons of a and b." in panels[0]
    assert [f"var(--series-1, {COLOURS['series-1']})" in svg for svg in panels] == [False, True]


def test_a_design_without_a_single_winner_has_a_row_but_no_panel(small_page):
    nothing = dict.fromkeys(COMPARED, None) | {"n": 5}
    empty = design("a", train_labels=nothing)
    empty = replace(empty, variance=empty.variance.assign(count=0))
    page = Page(small_page(empty))
    assert "How informative an answer is" not in page.text
    assert not [cell for cell in page.cells if "nan" in cell.lower()]


def _table(html):
    part = html[html.index('id="designs"') :]
    return [c.strip() for c in Page(part[part.index("<table") : part.index("</table>") + 8]).cells]


def test_the_table_has_a_row_a_head_in_the_order_of_the_arms(many, many_html):
    cells = _table(many_html)
    arms = [c.removesuffix(" chosen") for c in cells if c.removesuffix(" chosen") in HEADS]
    assert arms == [arm.name for arm in ordered_arms(many) if arm.is_head]
    assert "h11 chosen" in cells
    assert cells.count("400") == 12


def test_columns_that_no_head_fills_are_left_out(small_page):
    plain = _table(small_page(design("a")))
    assert "Flagged asoutliers" not in plain and "Annotatorsagree" not in plain
    labels = COMPARED | {"pairwise_agreement": 0.7, "fleiss_kappa": None}
    flagged = {"n": 0, "precision": None, "recall": 0.0}
    fitted = design("a", train_labels=labels, flagged=flagged, converged=False)
    cells = _table(small_page(fitted))
    assert "70.0%" in cells and "0precision —recall 0.00" in cells
    assert any(c.startswith("not converged") for c in cells)


def test_without_designs_there_is_no_section(small_page):
    html = small_page()
    assert "#designs" not in html and 'id="designs"' not in html


def test_the_chosen_head_and_the_best_of_the_others_lead(many):
    names = [arm.name for arm in leading(ordered_arms(many))]
    assert names[0] == "h11" and len(names) == N_PANELS
    others = [arm.name for arm in ordered_arms(many) if not arm.is_chosen]
    assert names[1:] == others[: N_PANELS - 1]


ONE_A_HEAD = ("best-of-N by h", "Reliability curve of h", "Histogram of the scores of h")


def test_figures_of_a_panel_a_head_are_cut_to_the_leading_heads_and_say_so(many_html):
    assert [many_html.count(alt) for alt in ONE_A_HEAD] == [N_PANELS] * 3
    assert Page(many_html).text.count("At most 6 of the 12 heads have a panel") == 3


def test_few_heads_all_have_their_panels(make_content):
    html = render(make_content(dict(list(HEADS.items())[:3]), n_prompts=4))
    assert [html.count(alt) for alt in ONE_A_HEAD] == [3] * 3
    assert "have a panel" not in html and "Bands are 95%" in html


def test_of_many_heads_the_curves_name_the_leading_ones(many, many_html):
    named = [text for text in Page(curves.best_of_n(many)).svg_texts if text in HEADS]
    assert sorted(named) == sorted(arm.name for arm in leading(ordered_arms(many)))
    page = Page(many_html)
    assert "the 6 heads that come after" in page.text and "The band is the 95%" in page.text


def test_long_names_that_begin_alike_stay_apart():
    names = [
        f"linear-bradley_terry.{x}" for x in ("selection_uniform.rounds_3", "selection_entropy.rounds_3")
    ]
    short = [wording.shorten_name(name, 24) for name in names]
    assert short == ["linear-b…niform.rounds_3", "linear-b…ntropy.rounds_3"]
    assert wording.shorten_name("a\nb", 24) == "a b"


def test_percent():
    assert [wording.percent(v) for v in (12.34, math.nan)] == ["12.3%", "—"]
