"""All heads are judged on the validation answers of all arms, each distinct one once."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit
from sklearn.metrics import log_loss

from rmlab.errors import InputError
from rmlab.evaluation.answers import ValidationAnswers
from rmlab.evaluation.judged_arms import ScoredArm


@dataclass
class Fitted:
    """The comparisons of an arm, as its artifact has them."""

    kind: str
    items: list[list[str]]
    split: list[str] | None = None
    teacher: dict[str, float] | None = None  # how one answered in the annotators' place

    @property
    def manifest(self) -> SimpleNamespace:
        return SimpleNamespace(metrics={"teacher": self.teacher} if self.teacher else {})

    def read(self, table: str, columns: list[str]) -> pa.Table:
        n = len(self.items)
        columns = {
            "kind": [self.kind] * n,
            "items": self.items,
            "reward": ["g"] * n,
            "split": self.split or ["validation"] * n,
            "share": [1.0] * n,
            "weight": [1.0] * n,
        }
        return pa.table(columns)


IDS = ["a", "b", "c", "d", "e"]
RAW = np.array([0.5, -1.0, 2.0, 0.0, 0.0])
PAIRS = Fitted("pair", [["a", "b"], ["c", "a"], ["b", "c"]], ["validation", "validation", "train"])


def answers(*arms: Fitted, ids=IDS) -> ValidationAnswers:
    job = SimpleNamespace(
        several=lambda stage: dict(enumerate(arms)), settings=SimpleNamespace(labelling="g")
    )
    return ValidationAnswers.of(job, pa.array(ids))


def head(temperature=1.0, scores=3 * RAW - 1) -> ScoredArm:
    return ScoredArm("h", "head", scores, RAW, temperature)


def test_a_head_is_judged_on_the_answers_of_all_arms():
    lists = Fitted("list", [["a", "b", "d"]])  # a > b, a > d, b > d
    twice = Fitted("pair", [["a", "b"], ["d", "e"]])  # one answer of the first arm, and a tie of the head
    found = answers(PAIRS, lists, twice, Fitted("unpaired", [["a"], ["e"]]))
    pairs = {"ab": 1.0, "ca": 1.0, "ad": 1 / 3, "bd": 1 / 3, "de": 1.0}
    at = {name: RAW[IDS.index(name)] for name in IDS}
    margin = np.array([at[x] - at[y] for x, y in pairs])
    weight = np.array(list(pairs.values()))
    got = found.agreement(head(2.0))
    expected = log_loss(np.ones(5), expit(margin / 2), sample_weight=weight, labels=[0, 1])
    assert got["label_nll"] == pytest.approx(expected)
    assert got["label_accuracy"] == pytest.approx((1 + 1 + 1 / 3 + 0 + 0.5) / weight.sum())


def test_answers_that_contradict_each_other_both_count():
    assert answers(PAIRS, Fitted("pair", [["b", "a"]])).agreement(head())["label_accuracy"] == 2 / 3


def test_without_an_answer_that_compares_nothing_is_said():
    found = answers(Fitted("unpaired", [["a"], ["b"]]))
    assert len(found) == 0
    assert all(np.isnan(x) for x in found.agreement(head()).values())


def test_a_teacher_is_not_judged_by_its_own_answers():
    taught = Fitted("pair", [["b", "a"], ["a", "c"]], teacher={"validation_accuracy": 0.0})
    assert answers(PAIRS, taught).agreement(head()) == answers(PAIRS).agreement(head())
    assert len(answers(taught)) == 0


def test_a_head_agrees_by_the_rewards_that_it_picks_by():
    """An ensemble's odds are those of its mean, whatever it combines its members by."""
    plain, other = (answers(PAIRS).agreement(head(scores=scores)) for scores in (RAW, -RAW))
    assert (plain["label_accuracy"], other["label_accuracy"]) == (1.0, 0.0)
    assert plain["label_nll"] == other["label_nll"]


def test_an_answer_of_an_unknown_response_is_one_line():
    with pytest.raises(InputError, match="run `rmlab fit-rm` again"):
        answers(PAIRS, ids=["a", "c", "d", "e", "f"])
