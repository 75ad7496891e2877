"""The page of the frontier on made-up curves: labels, what is solid and dashed, scales, and odd content."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from report_page_parser import NASTY, Page

from rmlab.config.fitting import Frontier
from rmlab.evaluation.frontier import Rewarded, Samples, frontier_rows, measure, score_rows
from rmlab.metrics.intervals import Resamples
from rmlab.report.frontier import FrontierContent, render_frontier
from rmlab.storage.frontier_schema import FRONTIER, OVEROPTIMISATION

HOW = Frontier(ns=None, betas=[4, 1, 0.5, 0.2], soft_betas=[0.5])


def content(
    n_heads: int, k: int = 40, reference: str = "truncated", names: str = "head-{}"
) -> FrontierContent:
    rng = np.random.default_rng(0)
    golden = rng.normal(size=8 * k)
    of = Samples(golden, np.repeat(np.arange(8), k), float(golden.std()), rng.permutation(len(golden)))
    rewards = [Rewarded("sentiment", "golden", golden)]
    rewards += [
        Rewarded(names.format(i), "head", 0.6 * golden + 0.8 * rng.normal(size=len(golden)))
        for i in range(n_heads)
    ]
    rows, scores = [], []
    for reward in rewards:
        curves = measure(of, reward, HOW)
        draws = Resamples.draw(len(curves.whole), rng, 20)
        rows += frontier_rows(curves, of, draws, reference)
        scores += score_rows(curves, of, draws, reference)
    frames = (
        pd.DataFrame(rows, columns=[c.name for c in FRONTIER.columns]),
        pd.DataFrame(scores, columns=[c.name for c in OVEROPTIMISATION.columns]),
    )
    return FrontierContent("demo", "sentiment", "smollm2", *frames, [])


def test_every_head_has_a_panel_of_each_kind_and_a_row_of_scores():
    html = render_frontier(content(2))
    page = Page(html)
    assert page.tags["svg"] == 2 + 2 * 2
    for name in ("head-0", "head-1"):
        assert sum(name in text for text in page.svg_texts) >= 4
        assert name in page.cells
    assert "95% bootstrap intervals" in page.text and "Reference: truncated" in page.text
    assert any("KL from the truncated reference" in text for text in page.svg_texts)


@pytest.mark.parametrize("reference", ["exact", "unknown"])
def test_the_label_of_the_reference_follows_the_samples(reference):
    page = Page(render_frontier(content(1, reference=reference)))
    axis = "KL from the reference (nats)" if reference == "exact" else "KL from the unknown reference (nats)"
    assert axis in page.svg_texts
    assert ("they are the policy itself" in page.text) == (reference == "exact")
    assert ("do not compare these curves" in page.text) == (reference != "exact")


def test_points_that_few_samples_carry_are_dashed():
    dashes = re.compile(r"stroke-dasharray: 5\.4")
    some = content(1)
    assert not some.rows.query("method == 'tilt' and not is_half")["is_trusted"].all()
    assert dashes.search(render_frontier(some))
    trusted = some.rows.assign(is_trusted=True)
    assert not dashes.search(
        render_frontier(FrontierContent("demo", "sentiment", "smollm2", trusted, some.scores, []))
    )


def test_many_heads_have_six_panels_and_all_their_rows():
    page = Page(render_frontier(content(8, k=8)))
    assert page.tags["svg"] == 2 + 2 * 6
    assert "The first 6 heads are drawn" in page.text and "the other 2" in page.text
    assert {f"head-{i}" for i in range(8)} <= set(page.cells)
    assert "drawn here for the golden reward alone" in page.text


def test_names_are_shown_and_never_run():
    html = render_frontier(content(1, names=NASTY + "{}"))
    assert "<script" not in html and "<img" not in html
    assert NASTY in Page(html).text


def test_without_heads_the_golden_reward_is_drawn():
    page = Page(render_frontier(content(0)))
    assert page.tags["svg"] == 2 + 2


def test_four_samples_and_a_golden_reward_without_spread_make_a_page():
    tiny = content(1, k=4)
    flat = tiny.rows.assign(golden_gain=np.nan, golden_gain_low=np.nan, golden_gain_high=np.nan)
    none = tiny.scores.assign(gamma=np.nan, low=np.nan, high=np.nan, kl=np.nan)
    page = Page(render_frontier(FrontierContent("demo", "sentiment", "smollm2", flat, none, ["flat"])))
    assert "undefined" in page.cells and "nan" not in page.text.lower().split()
