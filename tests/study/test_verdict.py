"""The rule, case by case, and the correction against Holm's definition by hand and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rmlab.study.effects import Effect
from rmlab.study.verdict import holm, is_at_edge, p_values, survivors, verdict


def of(low: float, high: float, se: float = 0.1, edge: float = 0.0) -> Effect:
    return Effect((low + high) / 2, low, high, se, 20.0, 5, 60, edge=edge)


@pytest.mark.parametrize(
    ("low", "high", "kind", "expected"),
    [
        (0.01, 0.3, "greater", "supported"),
        (0.001, 0.02, "greater", "negligible"),
        (-0.3, -0.01, "greater", "contradicted"),
        (-0.02, -0.001, "greater", "negligible"),
        (-0.04, 0.05, "greater", "negligible"),
        (-0.04, 0.06, "greater", "undecided"),
        (0.0, 0.3, "greater", "undecided"),
        (-0.3, 0.3, "greater", "undecided"),
        (-0.04, 0.3, "not_less", "supported"),
        (-0.04, -0.01, "not_less", "supported"),
        (-0.05, 0.3, "not_less", "undecided"),
        (-0.2, 0.01, "not_less", "undecided"),
        (-0.2, -0.06, "not_less", "contradicted"),
    ],
)
def test_every_case_of_the_rule(low, high, kind, expected):
    assert verdict(of(low, high), 0.05, kind) == expected


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0.001, 0.5))
def test_a_claim_and_its_opposite_have_opposite_words(low, width, smallest):
    one, other = of(low, low + width), of(-low - width, -low)
    turned = {"supported": "contradicted", "contradicted": "supported"}
    word = verdict(one, smallest, "greater")
    assert verdict(other, smallest, "greater") == turned.get(word, word)


def test_p_values_are_of_what_each_word_denies():
    found = of(0.0, 0.2, se=0.05)  # 2 standard errors above 0
    p = p_values(found, 0.05, "greater")
    assert p["supported"] == pytest.approx(stats.t.sf(2, 20))
    assert p["contradicted"] == pytest.approx(stats.t.cdf(2, 20))
    assert p["negligible"] == pytest.approx(stats.t.cdf(1, 20))  # the nearer side decides
    worse = p_values(of(-0.3, -0.1, se=0.05), 0.05, "not_less")
    assert worse == pytest.approx({"supported": stats.t.cdf(3, 20), "contradicted": stats.t.sf(3, 20)})
    assert p_values(of(-0.02, 0.02, se=0.01), 0.05, "greater")["negligible"] < 1e-3


def test_a_verdict_at_the_edge_is_one_that_a_little_would_turn():
    assert is_at_edge(of(0.001, 0.3, edge=0.002), 0.05, "greater")
    assert not is_at_edge(of(0.003, 0.3, edge=0.002), 0.05, "greater")
    assert is_at_edge(of(-0.001, 0.3, edge=0.002), 0.05, "greater")  # undecided, almost supported
    assert is_at_edge(of(-0.3, -0.051, edge=0.002), 0.05, "not_less")
    assert is_at_edge(of(-0.049, 0.03, edge=0.002), 0.05, "greater")  # negligible, almost undecided
    assert not is_at_edge(of(-0.04, 0.04, edge=0.002), 0.05, "greater")


def test_holm_by_hand():
    assert holm([0.04, 0.01, 0.03]) == [False, True, False]  # .01 < .05/3; .03 > .05/2
    assert holm([0.01, 0.02, 0.03]) == [True, True, True]  # .02 < .05/2; .03 < .05
    assert holm([0.2, 0.001]) == [False, True]
    assert holm([]) == []
    assert holm([0.02, 0.9, 0.9], most_true=2) == [True, False, False]  # .02 < .05/2
    assert holm([0.02, 0.024, 0.9], most_true=2) == [True, True, False]


def test_every_word_can_earn_its_star():
    claims = [(of(0.2, 0.4, se=0.02), "greater"), (of(-0.4, -0.2, se=0.02), "greater")]
    claims += [(of(-0.4, -0.2, se=0.02), "not_less"), (of(-0.004, 0.004, se=0.002), "greater")]
    claims += [(of(0.0, 0.2, se=0.05), "greater")]
    found = survivors([p_values(e, 0.05, kind) for e, kind in claims])
    assert found == [{"supported"}, {"contradicted"}, {"contradicted"}, {"negligible"}, set()]
    assert survivors([{}, p_values(claims[0][0], 0.05, "greater")]) == [set(), {"supported"}]


@pytest.mark.parametrize("truth", [0.0, 0.05, 0.02, -0.05])
def test_no_true_hypothesis_is_rejected_more_often_than_in_5_of_100_studies(truth):
    """All claims at the same truth: at 0 two of three hypotheses are true, at `smallest` again two."""
    rng, n_studies, n_claims, smallest = np.random.default_rng(0), 400, 20, 0.05
    true = {"supported": truth <= 0, "contradicted": truth >= 0, "negligible": abs(truth) >= smallest}
    wrong = 0
    for _ in range(n_studies):
        common = 0.5 * rng.normal()  # claims share cells
        values = truth + 0.02 * (common + np.sqrt(0.75) * rng.normal(size=n_claims))
        effects = [Effect(v, v, v, 0.02, 1e6, 5, 60) for v in values]
        words = survivors([p_values(e, smallest, "greater") for e in effects])
        wrong += any(true[word] for of in words for word in of)
    assert wrong / n_studies < 0.05 + 3 * np.sqrt(0.05 * 0.95 / n_studies)
