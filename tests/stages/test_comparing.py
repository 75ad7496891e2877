"""What is compared and answered: candidates, and rounds of selection among them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from small_settings import SMALL

from rmlab.comparisons import Comparisons
from rmlab.config import load_settings
from rmlab.errors import ConfigError, InputError
from rmlab.stages.comparing import answer_train, answer_validation, select_in_rounds
from rmlab.stages.responses import Responses


def settings(*more):
    return load_settings([*SMALL, "selection=entropy", *more])


def candidates(c: int) -> Comparisons:
    return Comparisons(
        items=np.arange(2 * c).reshape(c, 2), group=np.arange(c), label_prob=np.linspace(0, 1, c)
    )


def responses(prompts: int = 10, each: int = 6) -> Responses:
    group = np.repeat(np.arange(prompts), each)
    golden = np.random.default_rng(0).normal(size=len(group))
    ids = np.arange(len(group)).astype(str)
    return Responses(ids, group.astype(str), golden, group)


@dataclass
class Choosing:
    """Takes the candidates that are left with the smallest label_prob, and remembers what it was shown."""

    shown: list[tuple[Comparisons, Comparisons, int]] = field(default_factory=list)

    def __call__(self, done, left, n, rng):
        self.shown.append((done, left, n))
        return np.argsort(left.label_prob)[:n]


@pytest.mark.parametrize(("n", "rounds"), [(30, 3), (31, 4), (7, 7), (50, 2)])
def test_rounds_are_of_equal_size_and_nothing_comes_twice(n, rounds):
    choose = Choosing()
    taken = select_in_rounds(
        settings(f"comparisons.n={n}", f"comparisons.rounds={rounds}"), candidates(50), choose
    )
    sizes = np.diff([0, *(len(done) for done, _, _ in choose.shown), n])
    assert len(taken) == n and len(sizes) == rounds and np.ptp(sizes) <= 1
    assert len(np.unique(taken.items)) == 2 * n
    for (done, left, size), wanted in zip(choose.shown, sizes[1:], strict=True):
        assert size == wanted and len(done) + len(left) == 50
        assert not np.intersect1d(done.items, left.items).size


def test_rows_keep_their_answers_and_later_rounds_follow_the_choice():
    pool, choose = candidates(40), Choosing()
    taken = select_in_rounds(settings("comparisons.n=20", "comparisons.rounds=2"), pool, choose)
    np.testing.assert_array_equal(taken.label_prob, pool.label_prob[taken.items[:, 0] // 2])
    _, left, _ = choose.shown[0]
    np.testing.assert_array_equal(taken.label_prob[10:], np.sort(left.label_prob)[:10])


def test_the_first_round_is_random_and_the_same_for_every_selector():
    firsts = []
    for more in (["seed=0"], ["seed=0", "selection=d_optimal"], ["seed=1"]):
        first_round = settings("comparisons.n=20", "comparisons.rounds=2", *more)
        firsts.append(select_in_rounds(first_round, candidates(200), Choosing()).items[:10, 0])
    np.testing.assert_array_equal(firsts[0], firsts[1])
    assert not np.array_equal(firsts[0], firsts[2])
    assert 0 < np.mean(firsts[0] > 200) < 1 and np.any(np.diff(firsts[0]) < 0)


def test_ties_may_leave_too_few_candidates():
    with pytest.raises(InputError, match="29 candidates without ties are fewer than comparisons.n=30.*raise"):
        select_in_rounds(settings("comparisons.n=30", "comparisons.rounds=3"), candidates(29), Choosing())


ROUNDS = ("comparisons.rounds=2", "comparisons.n=20")
TRAIN = np.repeat(np.arange(10) < 8, 6)  # 8 prompts of 15 pairs


@pytest.mark.parametrize(
    ("more", "n"), [([], 100), (["comparisons.candidates=33"], 33), (["comparisons.n=30"], 120)]
)
def test_how_many_candidates_there_are(more, n):
    found = answer_train(settings(*ROUNDS, *more), responses(), TRAIN).comparisons
    assert len(found) == n
    assert TRAIN[found.items].all() and len(np.unique(np.sort(found.items, axis=1), axis=0)) == n


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["comparisons.candidates=121"], "comparisons.candidates=121 is more than the 120 distinct"),
        (["comparisons.n=121"], "comparisons.n=121 is more than the 120 distinct"),
    ],
)
def test_candidates_beyond_the_pool(more, message):
    with pytest.raises(InputError, match=message):
        answer_train(settings(*ROUNDS, *more), responses(), TRAIN)


def test_every_selector_gets_the_same_candidates_and_answers():
    by = [
        answer_train(settings(*ROUNDS, f"selection={s}"), responses(), TRAIN) for s in ("uniform", "coreset")
    ]
    for name in ("items", "correct", "label_prob", "margin"):
        np.testing.assert_array_equal(*(getattr(a.comparisons, name) for a in by))


def test_validation_comparisons_do_not_depend_on_the_train_budget():
    held = [answer_validation(settings(*ROUNDS, f"comparisons.n={n}"), responses(), ~TRAIN) for n in (20, 60)]
    np.testing.assert_array_equal(held[0].comparisons.items, held[1].comparisons.items)
    assert len(held[0].comparisons) == 15 and not TRAIN[held[0].comparisons.items].any()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["selection=entropy"], "set comparisons.rounds to 2 or more"),
        (["comparisons.rounds=70"], "rounds=70 is more than n=60; lower comparisons.rounds"),
        (
            ["comparisons.rounds=2", "comparisons.candidates=59"],
            "candidates=59 .*raise comparisons.candidates",
        ),
    ],
)
def test_settings_that_leave_nothing_to_choose(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_settings([*SMALL, *overrides])
    load_settings([*SMALL, "comparisons.rounds=60", "selection=entropy", "comparisons.candidates=60"])


def test_no_number_is_all_there_are():
    all_ = load_settings([*SMALL, "comparisons.n=null", "comparisons.n_validation=null"])
    everyone = responses(prompts=7, each=4)
    train = np.arange(len(everyone)) < 20
    found, held = (
        answer(all_, everyone, mask).comparisons
        for answer, mask in ((answer_train, train), (answer_validation, ~train))
    )
    assert len(found) == 5 * 6 and len(held) == 2 * 6
    assert len(np.unique(np.sort(found.items, axis=1), axis=0)) == 30


def test_all_there_are_may_be_too_many():
    crossed = load_settings([*SMALL, "comparisons.n=null", "pairing=cross_prompt"])
    everyone = responses(prompts=700, each=5)
    with pytest.raises(InputError, match=r"asks for all [\d,]+ comparisons there are; set comparisons.n"):
        answer_train(crossed, everyone, np.ones(len(everyone), dtype=bool))
