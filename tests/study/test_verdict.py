"""The rule, case by case, and Holm's correction against scipy's definition by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmlab.study.two_way import Effect
from rmlab.study.verdict import holm, p_value, verdict


def of(low: float, high: float, se: float = 0.1) -> Effect:
    return Effect((low + high) / 2, low, high, se, 20.0, 5, 60)


@pytest.mark.parametrize(
    ("low", "high", "kind", "expected"),
    [
        (0.01, 0.3, "greater", "supported"),
        (0.001, 0.02, "greater", "supported"),
        (-0.3, -0.01, "greater", "not supported"),
        (-0.04, 0.05, "greater", "not supported"),
        (-0.04, 0.06, "greater", "undecided"),
        (0.0, 0.3, "greater", "undecided"),
        (-0.3, 0.3, "greater", "undecided"),
        (-0.04, 0.3, "not_less", "supported"),
        (-0.04, -0.01, "not_less", "supported"),
        (-0.05, 0.3, "not_less", "undecided"),
        (-0.2, 0.01, "not_less", "undecided"),
        (-0.2, -0.06, "not_less", "not supported"),
    ],
)
def test_every_case_of_the_rule(low, high, kind, expected):
    assert verdict(of(low, high), 0.05, kind) == expected


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0.001, 0.5))
def test_no_interval_supports_a_claim_and_its_opposite(low, width, smallest):
    one, other = of(low, low + width), of(-low - width, -low)
    verdicts = {verdict(one, smallest, "greater"), verdict(other, smallest, "greater")}
    assert verdicts != {"supported"}


def test_p_values_are_of_the_hypothesis_that_the_claim_denies():
    found = of(-0.1, 0.1, se=0.05)
    assert p_value(found, 0.05, "greater") == pytest.approx(1.0)
    assert p_value(found, 0.05, "not_less") == pytest.approx(0.1646, abs=1e-3)  # t of 1 with 20 df, above
    assert p_value(of(0.2, 0.4, se=0.05), 0.05, "greater") < 1e-4


def test_holm_by_hand():
    assert holm([0.04, 0.01, 0.03]) == [False, True, False]  # .01 < .05/3; .03 > .05/2
    assert holm([0.01, 0.02, 0.03]) == [True, True, True]  # .02 < .05/2; .03 < .05
    assert holm([0.2, 0.001]) == [False, True]
    assert holm([]) == []
