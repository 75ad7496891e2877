"""The simulation of verdicts: what it plants is what the rule is asked, and its block is written in place."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bench"))
import verdicts
from verdicts import SMALLEST, arms_of, as_sweep, is_false, judged_study, study, written

from rmlab.study.claims import JudgedClaim
from rmlab.study.effects import Effect


def test_planted_effects_are_found_and_the_shared_side_is_shared():
    rng = np.random.default_rng(0)
    truths, kinds = [2.0, -2.0, 2.0, -2.0], ["greater", "greater", "not_less", "not_less"]
    for n_setups in (1, 8):
        found = judged_study(rng, truths, kinds, n_setups)
        assert [j.verdict for j in found] == ["supported", "contradicted"] * 2
        assert all(j.survives for j in found) and found[0].effect.n_setups == n_setups
        assert [j.claim.minus[0]["arm"][0] for j in found] == ["minus0", "minus0", "minus1", "minus1"]


def test_the_standard_error_is_that_of_the_random_effects_planted():
    rng = np.random.default_rng(1)
    values = np.array([(a := arms_of(rng, [0.0, 0.0], 1))[0].mean() - a[1].mean() for _ in range(1500)])
    d = verdicts.RANDOM
    expected = np.sqrt(2 * (d["s"] ** 2 / 5 + d["p"] ** 2 / 60 + d["sp"] ** 2 / 300))
    assert values.std() == pytest.approx(expected, rel=0.08)


def test_cells_hold_the_values_planted():
    values = arms_of(np.random.default_rng(2), [0.0, 1.0], 2)
    sweep, members = as_sweep(values, [{"arm": "a"}, {"arm": "b"}])
    for member in members:
        a, u, s = (int(part) for part in member.cell.split("-"))
        np.testing.assert_allclose(sweep.of(member.cell, "best_of_largest"), values[a, u, s])
        assert member.setup == f"set-up {u}" and member.axes == {"arm": "ab"[a], "seed": str(s)}


@pytest.mark.parametrize(
    ("kind", "word", "truth", "expected"),
    [
        ("greater", "supported", 0.0, True),
        ("greater", "supported", 0.1, False),
        ("greater", "contradicted", 0.0, True),
        ("greater", "negligible", SMALLEST, True),
        ("greater", "negligible", 0.0, False),
        ("not_less", "supported", -SMALLEST, True),
        ("not_less", "supported", 0.0, False),
        ("not_less", "contradicted", 0.0, True),
        ("greater", "undecided", 0.0, False),
    ],
)
def test_what_a_false_word_is(kind, word, truth, expected):
    places = {"plus": [{"arm": "a"}], "minus": [{"arm": "b"}]}
    made = study([{"statement": "x", **places, "kind": kind, "smallest": SMALLEST}], ["a", "b"])
    judged = JudgedClaim(made, made.claims[0], word, Effect(0.0, 0.0, 0.0, 0.0, 1.0, 5, 60))
    assert is_false(judged, truth) is expected


def test_the_tables_have_a_row_for_every_case(monkeypatch):
    monkeypatch.setattr(verdicts, "N_CLAIMS", 9)
    rng = np.random.default_rng(3)
    assert len(verdicts.error_rates(rng, 1, 1)) == 2 and len(verdicts.words(rng, 1, 1)) == 9
    rows = verdicts.coverage(rng, 2, 1)
    assert [row.split(" | ")[0].strip("| ") for row in rows] == [
        "difference", "slope along an axis", "height of that line", "difference of shares",
        "crossing of that line",
    ]  # fmt: skip
    assert len(verdicts.error_rates(rng, 1, 8)) == 3
    assert len(verdicts.prompt_coverage(rng, 5)) == 3 and len(verdicts.setup_coverage(rng, 2)) == 6


def test_set_ups_share_the_effects_of_their_parts():
    found = verdicts.of_parts(np.random.default_rng(4), 20_000)
    between = np.corrcoef(found.T)
    alike = np.array(
        [
            [sum(a == b for a, b in zip(f"{i:03b}", f"{j:03b}", strict=True)) for j in range(8)]
            for i in range(8)
        ]
    )
    np.testing.assert_allclose(between, alike / 3, atol=0.03)
    assert found.var() == pytest.approx(1, rel=0.03)


def test_intervals_over_set_ups_of_shared_parts_hold_the_mean_of_the_eight_and_miss_that_of_others():
    """What docs/study.md says of them."""
    rows = verdicts.setup_coverage(np.random.default_rng(5), 100)
    inside = [float(row.rsplit("|", 2)[1].strip(" %")) for row in rows]
    assert min(inside[1::2]) >= 95 and inside[4] < 85  # deviations of 0.2, other parts


def test_the_block_of_a_page_is_written_between_its_markers():
    page = f"before\n{verdicts.BEGIN}\nold\n{verdicts.END}\nafter\n"
    assert written(page, "new") == f"before\n{verdicts.BEGIN}\nnew\n{verdicts.END}\nafter\n"
    assert written(written(page, "new"), "old") == page
    with pytest.raises(ValueError, match="add the two markers"):
        written("no markers", "new")
