"""The section of held-out preferences: what it shows, what it leaves out, and nothing of a text is markup."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from report_page_parser import NASTY, Page
from report_synthetic import HEADS, make

from rmlab.report.content import HeldOutFrames
from rmlab.report.heldout import agreements, heldout_rows, pick_disputed
from rmlab.report.render import render

ARMS = [*HEADS, "logistic_regression", "length"]


def frames(n_pairs: int = 24, of_group: int = 2) -> HeldOutFrames:
    """The first two responses of each of the synthetic test prompts, as if annotators had compared them."""
    rng, rows, accuracy, bins, agree = np.random.default_rng(0), [], [], [], []
    for split in ("cv", "test"):
        for k, arm in enumerate(ARMS):
            kind = "head" if arm in HEADS else "control"
            shared = {"arm": arm, "kind": kind, "split": split}
            for i in range(n_pairs):
                p = rng.uniform(0.05, 0.95)
                names = {"prompt_id": f"test-p{i % 12}", "group": f"g{i // of_group}"}
                ids = {"preferred": f"test-p{i % 12}-r0", "other": f"test-p{i % 12}-r{1 + i // 12}"}
                rows.append(shared | names | ids | {"margin": np.log(p / (1 - p)), "probability": p})
            value = 0.7 - 0.05 * k + (0.1 if split == "test" else 0)
            numbers = {"value": value, "low": value - 0.06, "high": value + 0.06}
            numbers |= {"over": -0.05 * (k - 2), "over_low": -0.05 * (k - 2) - 0.01, "over_high": 0.2}
            size = {"n_pairs": n_pairs, "n_ties": 3, "n_equal": k, "n_groups": n_pairs // of_group}
            accuracy.append(shared | numbers | size | {"ece": np.nan if arm == "length" else 0.04})
            if arm != "length":
                bins += [
                    {
                        "arm": arm,
                        "split": split,
                        "bin": b,
                        "predicted": 0.05 + b / 10,
                        "observed": 0.5,
                        "count": 3,
                    }
                    for b in range(10)
                ]
            agree += [
                {"arm": arm, "other": other, "split": split, "share": 0.8, "kappa": 0.6, "n_pairs": n_pairs}
                for other in ARMS[k + 1 :]
            ]
    tables = [pd.DataFrame(x) for x in (accuracy, rows, bins, agree)]
    return HeldOutFrames(*tables, folds=5, baseline="logistic_regression")


@pytest.fixture(scope="module")
def two_answers() -> str:
    return render(make(n_responses=2, ns=[1, 2], text=NASTY, heldout=frames()))


def test_with_two_answers_only_the_held_out_section_judges(two_answers):
    page = Page(two_answers)
    ids = {value for name, value in page.attributes if name == "id"}
    assert "heldout" in ids and not ids & {"heads", "curves", "paired", "calibration", "scores", "examples"}
    links = {v for name, v in page.attributes if name == "href" and v.startswith("#")}
    assert {link[1:] for link in links} <= ids
    assert "each of them amounts to the accuracy above" in page.text
    assert page.tags["script"] == 0 and page.tags["img"] == 0 and "<script>alert(1)</script>" in page.text


def test_with_more_answers_the_other_sections_stay():
    page = Page(render(make(heldout=frames())))
    ids = {value for name, value in page.attributes if name == "id"}
    assert {"heldout", "heads", "curves", "paired", "calibration", "scores", "examples"} <= ids
    assert "by another name" not in page.text


def test_without_held_out_pairs_there_is_no_section(html):
    assert 'id="heldout"' not in html and "#heldout" not in html


def test_heads_stand_before_controls_by_their_cross_validation():
    content = make(heldout=frames())
    rows = heldout_rows(content)
    assert [r.arm.name for r in rows] == ARMS and [r.arm.is_head for r in rows] == [True, True, False, False]
    assert rows[0].cv.value == pytest.approx(0.7) and rows[0].test.value == pytest.approx(0.8)
    found = agreements(content, rows)
    assert [a.arm.name for a in found] == ARMS[:3]
    assert found[1].cells[0] == (pytest.approx(80), 0.6) and np.isnan(found[1].cells[1][0])


def test_the_disputed_pairs_are_those_with_the_smallest_mean_one_a_group():
    content = make(heldout=frames())
    found = pick_disputed(content, heldout_rows(content), n=5)
    pairs = content.heldout.pairs.query("split == 'cv' and kind == 'head'")
    mean = pairs.groupby(["group", "preferred", "other"])["probability"].mean()
    assert [d.probability for d in found] == pytest.approx(mean.groupby("group").min().nsmallest(5).tolist())
    assert [arm.name for arm, _ in found[0].by_head] == list(HEADS)
    assert found[0].messages == [("user", "Tell me about the sea.")]


def test_equal_content_gives_an_equal_page(two_answers):
    assert render(make(n_responses=2, ns=[1, 2], text=NASTY, heldout=frames())) == two_answers


def test_a_pair_on_which_the_heads_agree_with_the_annotators_is_not_disputed():
    found = frames()
    sure = found.pairs["group"].isin(["g0", "g1"])
    found.pairs["probability"] = np.where(sure, 0.2, 0.5)
    content = make(heldout=found)
    picked = pick_disputed(content, heldout_rows(content))
    assert [d.probability for d in picked] == [0.2, 0.2]
    found.pairs["probability"] = 0.6
    assert "heads and annotators differ most" not in Page(render(content)).text
