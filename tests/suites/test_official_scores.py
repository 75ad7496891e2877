"""Results on made-up scores against those of the benchmarks' own functions, which make_fixtures.py recorded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rmlab.suites import judgebench, rewardbench, rewardbench2, rm_bench
from rmlab.suites.base import Question, Suite
from rmlab.suites.lines import suite_results

OFFICIAL = json.loads((Path(__file__).parent / "official_scores.json").read_text(encoding="utf-8"))
EXACT = 1e-12


def asked(k: int, subset: str, n_right: int = 1, n: int = 2, **given) -> Question:
    """A question with n answers."""
    messages = [{"role": "user", "content": f"question {k}"}]
    unit = f"Ties {given['id'].partition(':')[2]}" if subset == "Ties" else f"unit {k}"
    return Question(k + 1, f"row {k + 1}", unit, subset, messages, ("a",) * n, n_right, given)


def results_of(suite: Suite, questions: list[Question], scores: list) -> dict[str, float]:
    found = suite_results(suite, questions, [np.array(s, dtype=float) for s in scores], n=50)
    return {line.name: line.score for line in found.lines}


def test_rewardbench():
    official = OFFICIAL["rewardbench"]

    def ours(keep) -> dict[str, float]:
        rows = [row for row in official["rows"] if keep(row["subset"])]
        questions = [asked(k, row["subset"]) for k, row in enumerate(rows)]
        return results_of(rewardbench.SUITE, questions, [row["scores"] for row in rows])

    found, core = ours(lambda name: True), ours(lambda name: name not in rewardbench.PRIOR)
    assert any(row["scores"][0] == row["scores"][1] for row in official["rows"])
    assert len(official["subsets"]) == 27
    for name, expected in {**official["subsets"], **official["sections"]}.items():
        assert found[name] == pytest.approx(expected, abs=EXACT), name
    assert core["average"] == pytest.approx(official["average"], abs=EXACT)
    assert found["average"] == pytest.approx(official["average_with_prior"], abs=EXACT)
    right = [row["scores"][0] > row["scores"][1] for row in official["rows"]]
    assert found["all rows"] == pytest.approx(np.mean(right), abs=EXACT)
    some = ours(lambda name: name in ("math-prm", "hep-go", "mt-bench-easy", "alpacaeval-hard"))
    for name, expected in official["sections_of_some"].items():
        assert some.get(name, 0) == pytest.approx(expected, abs=EXACT), name  # theirs is 0 without rows
    assert some["average"] == pytest.approx((some["Chat"] + some["Reasoning"]) / 2, abs=EXACT)


def test_rewardbench_subsets_and_counts_are_the_packages():
    names = [name for counts in rewardbench.SECTIONS.values() for name in counts]
    prior = [name for name in OFFICIAL["rewardbench"]["subsets"] if name not in names]
    assert sorted([*names, *prior]) == sorted(OFFICIAL["rewardbench"]["subsets"])
    assert sorted(prior) == sorted(rewardbench.PRIOR)


@pytest.mark.parametrize("official", OFFICIAL["rewardbench2"], ids=["whole", "tight", "odd"])
def test_rewardbench2(official):
    rows = official["rows"]
    questions = [
        asked(k, row["subset"], row["n_right"], len(row["scores"]), id=row["id"])
        for k, row in enumerate(rows)
    ]
    for row in rows:
        share = rewardbench2.share_of_winner(np.array(row["scores"]))
        assert share == pytest.approx(row["results"], abs=EXACT)
    found = results_of(rewardbench2.SUITE, questions, [row["scores"] for row in rows])
    for name, expected in official["subsets"].items():
        assert found[name] == pytest.approx(expected, abs=EXACT), name
    assert found["score"] == pytest.approx(np.mean(list(official["subsets"].values())), abs=EXACT)


def test_rewardbench2_fixtures_have_what_is_hard():
    whole, tight, odd = OFFICIAL["rewardbench2"]
    assert {row["results"] for row in whole["rows"]} >= {0.0, 0.5, 1.0}
    assert tight["subsets"]["Ties"] > 1
    kinds = {row["id"] for row in odd["rows"] if row["subset"] == "Ties"}
    assert "ref:4" in kinds and "tied:4" not in kinds and "tied:5" in kinds and "ref:5" not in kinds
    assert any(row["n_right"] == 1 for row in odd["rows"] if row["id"].startswith("tied"))


def test_rm_bench():
    official = OFFICIAL["rm-bench"]
    scores = [[*row["score_chosen"], *row["score_rejected"]] for row in official["rows"]]
    questions = [asked(k, row["domain"], 3, 6) for k, row in enumerate(official["rows"])]
    found = results_of(rm_bench.SUITE, questions, scores)
    for name, expected in official["whole"].items():
        ours = {"total_avg_acc": "average"}.get(name, name.removesuffix("_acc"))
        assert found[ours] == pytest.approx(expected, abs=EXACT), name
    without = [asked(k, "", 3, 6) for k in range(len(scores))]
    found = results_of(rm_bench.SUITE, without, scores)
    for name, expected in official["without_domain"].items():
        assert found[name.removesuffix("_acc")] == pytest.approx(expected, abs=EXACT), name
    assert found["average"] == pytest.approx(np.mean(list(official["without_domain"].values())), abs=EXACT)


def test_judgebench_by_scores():
    official = OFFICIAL["judgebench"]
    of = {start: name for name, start in judgebench.SOURCES.items()}
    questions = [
        asked(k, next(of[s] for s in of if row["source"].startswith(s)), label=row["label"])
        for k, row in enumerate(official["rows"])
    ]
    found = results_of(judgebench.SUITE, questions, [row["scores"] for row in official["rows"]])
    assert any(row["scores"][0] == row["scores"][1] for row in official["rows"])
    assert set(found) == set(official["by_scores"])
    for name, expected in official["by_scores"].items():
        assert 100 * found[name] == pytest.approx(expected, abs=1e-10), name


def test_judgebench_by_verdicts_that_depend_on_the_order():
    official = OFFICIAL["judgebench"]
    right = np.array([judgebench.is_right(row["label"], *row["free"]) for row in official["rows"]])
    assert {v for row in official["rows"] for v in row["free"]} == {"A>B", "B>A", "A=B", None}
    for name, expected in official["free"].items():
        start = judgebench.SOURCES.get(name, "")
        kept = [row["source"].startswith(start) for row in official["rows"]]
        assert 100 * right[kept].mean() == pytest.approx(expected, abs=1e-10), name
