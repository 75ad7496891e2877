"""The model card: names from files are shown, and neither Markdown nor YAML obeys them."""

from __future__ import annotations

import json

import pytest
import yaml

from rmlab import RewardModel
from rmlab.errors import one_line
from rmlab.hub.card import head_card
from rmlab.hub.markdown import code, fenced, table, words
from rmlab.hub.measured import Metric, metrics_of
from rmlab.reward.origin import Origin

NASTY = "x\n---\nlicense: stolen\n# <script>alert(1)</script> [a](http://b) `c` | d"


@pytest.fixture
def model(fit):
    return RewardModel.load(fit)


def test_names_cannot_end_a_line_or_become_markup(model):
    facts = {**model.facts, "data": {NASTY: {"name": NASTY}}, "versions": {NASTY: NASTY}}
    metric = Metric("accuracy", NASTY, "test", 0.5, None, None, 3)
    more = {NASTY: NASTY}
    card = head_card(
        facts, model.origin, model.head, NASTY, NASTY, use=NASTY + "\n```", metrics=[metric], more=more
    )
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front)["license"] == one_line(NASTY).lower()
    assert yaml.safe_load(front)["model-index"][0]["name"] == one_line(NASTY)
    outside = body.replace(fenced(NASTY + "\n```", "python"), "")
    assert "<script>" not in outside.replace(code(NASTY), "") and "\n---\nlicense" not in outside
    assert "````python" in body


def test_escapes():
    assert words("a|b <i> *c* http://x") == r"a\|b &lt;i&gt; \*c\* http&#8203;://x"
    assert code("a`b|c\nd") == "`a'b/c d`"
    assert table(("a", "b"), [("1", "2")]).splitlines() == ["| a | b |", "| --- | --- |", "| 1 | 2 |"]


def test_metrics_are_those_of_the_evaluation_of_this_head(fit):
    found = {metric.name: metric for metric in metrics_of(fit)}
    evaluation = next((fit.parents[1] / "eval_rm").glob("[!.]*"))
    told = json.loads((evaluation / "manifest.json").read_text())["metrics"]["best_of_n"]
    assert found["best_of_n"].value == pytest.approx(told["linear-bradley_terry"]["value"])
    assert found["accuracy"].low <= found["accuracy"].value <= found["accuracy"].high
    assert metrics_of(fit / "head") == [] and metrics_of(fit.parent / "nothing") == []


def test_the_base_model_of_a_hub_is_in_the_metadata(model):
    made = {**model.origin.to_json(), "model": "them/base", "identity": "hub:them/base@0123abcd"}
    card = head_card(model.facts, Origin.from_json(made), model.head, "n", "mit", use="")
    assert yaml.safe_load(card.split("---\n")[1])["base_model"] == "them/base"
    assert "| Commit of the base model | `0123abcd` |" in card and "read from a local folder" not in card
    made |= {"model": "/home/someone/base", "identity": "folder:abc"}
    card = head_card(model.facts, Origin.from_json(made), model.head, "n", "mit", use="")
    assert "base_model" not in yaml.safe_load(card.split("---\n")[1])
    assert "/home" not in card and "as `base`" in card
