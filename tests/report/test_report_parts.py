"""The parts of the report: numbers, order, examples, figures."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from rmlab.report import result_tables as tables
from rmlab.report import wording
from rmlab.report.examples import agreement, pick_examples
from rmlab.report.figures import curves, histograms
from rmlab.report.figures import curves as proxy
from rmlab.report.figures.svg import COLOURS, draw
from rmlab.report.shown_arms import N_COLOURS, ordered_arms


def test_numbers_have_a_true_minus_and_a_dash_for_nothing():
    assert wording.number(-0.12345) == "−0.123"
    assert wording.number(0.5, 2, signed=True) == "+0.50"
    assert wording.number(-0.0001) == "0.000"
    assert wording.number(math.nan) == wording.number(None) == wording.number(math.inf) == "—"
    assert wording.interval(-1.0, 2.0, 1) == "[−1.0, 2.0]"
    assert wording.interval(math.nan, 2.0) == ""


def test_counts_and_durations():
    assert [wording.count(v) for v in (12345, 0.10234, 3.0, True, None, "x")] == [
        "12,345", "0.1023", "3", "True", "—", "x",
    ]  # fmt: skip
    assert [wording.duration(s) for s in (0.44, 59.4, 185, 7800, math.nan)] == [
        "0.4 s", "59 s", "3 min 05 s", "2 h 10 min", "—",
    ]  # fmt: skip


def test_control_characters_and_direction_overrides_are_replaced():
    assert wording.clean("a\x00b\u202ec\ud800\r\nd\te") == "a\ufffdb\ufffdc\ufffd\nd\te"
    assert wording.shorten("one\ntwo three", 8) == "one two…"


def test_arms_are_sorted_by_validation_and_the_chosen_has_the_first_colour(make_content):
    content = make_content({"bad": 3.0, "good": 0.2, "middle": 0.8}, n_prompts=40, chosen="middle")
    arms = ordered_arms(content)
    assert [a.name for a in arms[:4]] == ["good", "middle", "bad", "oracle"]
    assert [a.is_chosen for a in arms[:4]] == [False, True, False, False]
    assert arms[1].role == "series-1"
    assert {a.role for a in arms[3:]} == {"quiet"}


def test_more_heads_than_colours_still_look_different(make_content):
    heads = {f"h{i}": 0.1 + i for i in range(2 * N_COLOURS)}
    arms = [a for a in ordered_arms(make_content(heads, n_prompts=3, n_responses=4, ns=[1, 4])) if a.is_head]
    assert len({(a.role, a.marker, a.dashes) for a in arms}) == len(arms)


def test_a_difference_is_found_either_way_round(make_content):
    content = make_content(n_prompts=60)
    forth = tables.difference(content, "mlp_bt", "random")
    back = tables.difference(content, "random", "mlp_bt")
    assert forth.value > 0 and forth.reading == "higher"
    assert (back.value, back.low, back.high) == (-forth.value, -forth.high, -forth.low)
    assert math.isnan(tables.difference(content, "mlp_bt", "absent").value)


def test_a_metric_is_of_its_own_split(make_content):
    content = make_content()
    values = [tables.metric(content, "mlp_bt", "best_of_n", s).value for s in ("validation", "test")]
    curve = content.curves[(content.curves["arm"] == "mlp_bt") & (content.curves["n"] == 8)]
    assert values == curve.sort_values("split", ascending=False)["value"].to_list()


def test_agreement_is_spearman_with_ties(make_content):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"prompt_id": np.repeat(list("abc"), 20), "score": rng.integers(0, 5, 60)})
    frame["golden"] = rng.integers(0, 4, 60)
    frame.loc[frame["prompt_id"] == "c", "golden"] = 1
    rho = agreement(frame)
    assert list(rho.index) == ["a", "b"]
    for prompt, rows in list(frame.groupby("prompt_id"))[:2]:
        assert rho[prompt] == pytest.approx(spearmanr(rows["score"], rows["golden"])[0], abs=1e-8)


def test_examples_are_the_extremes_of_agreement(make_content):
    content = make_content(n_prompts=30)
    scores = content.head_scores
    rho = agreement(scores[(scores["arm"] == "mlp_bt") & (scores["split"] == "test")])
    picked = pick_examples(content)
    assert [x.agreement for x in picked.agree] == sorted(rho, reverse=True)[:3]
    assert [x.agreement for x in picked.differ] == sorted(rho)[:3]


def test_an_example_shows_the_ends_of_both_orders(make_content):
    content = make_content(n_prompts=30)
    example = pick_examples(content).differ[0]
    scores = content.head_scores
    mine = scores[(scores["arm"] == "mlp_bt") & (scores["prompt_id"] == example.prompt_id)]
    shown = {tag: answer for answer in example.answers for tag in answer.tags}
    assert shown["best by head"].score == mine["score"].max()
    assert shown["worst by head"].score == mine["score"].min()
    assert shown["best by golden"].golden == mine["golden"].max()
    assert shown["worst by golden"].golden == mine["golden"].min()


@pytest.mark.parametrize(("prompts", "agree", "differ"), [(1, 1, 0), (3, 2, 1), (20, 3, 3)])
def test_few_prompts_are_shared_out_without_repeats(make_content, prompts, agree, differ):
    picked = pick_examples(make_content(n_prompts=prompts))
    ids = [x.prompt_id for x in picked.agree + picked.differ]
    assert (len(picked.agree), len(picked.differ)) == (agree, differ)
    assert len(set(ids)) == len(ids)


def test_a_missing_response_text_is_said(make_content):
    content = make_content(n_prompts=2)
    object.__setattr__(content, "texts", lambda ids, every=content.texts: every([]))
    assert "not in the responses table" in pick_examples(content).agree[0].answers[0].text


def test_figures_follow_the_page_and_leave_no_global_state(make_content):
    before = dict(mpl.rcParams)
    svg = curves.best_of_n(make_content())
    assert dict(mpl.rcParams) == before
    root = ET.fromstring(svg)
    styles = " ".join(node.get("style", "") for node in root.iter())
    assert f"var(--series-1, {COLOURS['series-1']})" in styles
    assert not [node for node in root.iter() if node.tag.endswith(("}style", "}metadata"))]


def test_equal_figures_of_different_names_share_no_id():
    def paint(figure):
        axes = figure.add_subplot()
        axes.plot([1, 2], [1, 3], marker="o")

    ids = [{n.get("id") for n in ET.fromstring(draw(name, "x", (200, 100), paint)).iter()} for name in "ab"]
    assert len(ids[0] - {None}) > 0
    assert ids[0] & ids[1] == {None}


def test_the_proxy_has_a_panel_a_head_the_chosen_first(make_content):
    content = make_content({"good": 0.2, "noisy": 3.0}, n_prompts=40, chosen="noisy")
    panels = proxy.proxy_against_golden(content)
    assert [("by noisy" in svg, "by good" in svg) for svg in panels] == [(True, False), (False, True)]
    last = content.curves[(content.curves["arm"] == "noisy") & (content.curves["split"] == "test")].iloc[-1]
    golden = (last["value"] - last["golden_mean"]) / last["golden_deviation"]
    assert golden < last["proxy"] - 0.3
    ends = f"own score {wording.number(last['proxy'], 2)}, by the golden reward {wording.number(golden, 2)}"
    assert ends in panels[0]


@pytest.mark.parametrize("column", ["golden_deviation", "proxy"])
def test_without_a_common_unit_there_is_no_proxy_figure(make_content, column):
    content = make_content(n_prompts=4)
    nothing = 0.0 if column == "golden_deviation" else math.nan
    object.__setattr__(content, "curves", content.curves.assign(**{column: nothing}))
    assert proxy.proxy_against_golden(content) == []


def test_the_table_of_differences_is_of_best_of_n(make_content):
    content = make_content(n_prompts=60)
    best = content.paired[(content.paired["metric"] == "best_of_n") & (content.paired["split"] == "test")]
    row = best[(best["arm"] == "mlp_bt") & (best["other"] == "random")].iloc[0]
    assert tables.difference(content, "mlp_bt", "random").value == row["value"]


def test_labels_keep_their_distance_and_order():
    places = curves.spread([10.0, 11.0, 12.0, 80.0], 15)
    assert np.diff(places).min() >= 14.9
    assert places[3] == 80.0
    assert sum(places[:3]) == pytest.approx(33.0)


@pytest.mark.parametrize(
    "values", [[2.0**62, 2.0**62 + 1024], [0.0, 0.0], [5.0, 5.0], [-1e300, -1e300], [0.0, 1e-9]]
)
def test_histograms_of_values_that_are_hardly_apart(values):
    edges = histograms._edges(min(values), max(values))
    assert np.isfinite(edges).all() and (np.diff(edges) > 0).all()
    assert np.histogram(values, edges)[0].sum() == len(values)
