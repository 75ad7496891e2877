"""What is compared and answered: candidates, and rounds of selection among them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from small_settings import SMALL

from rmlab.comparisons import Comparisons
from rmlab.config.hydra import load_settings
from rmlab.errors import ConfigError, InputError
from rmlab.evaluation.compare import answer_train, answer_validation, select_in_rounds, selected_report
from rmlab.responses.table import Responses


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


LAST_30 = np.arange(300) >= 270  # 6 of 60 prompts, each of 5 responses: 60 pairs


def tied_responses() -> Responses:
    everyone = responses(prompts=60, each=5)
    return replace(everyone, golden=np.random.default_rng(0).integers(0, 3, 300).astype(float))


@pytest.mark.parametrize(
    ("n", "fraction", "expected"), [(200, 0.1, (180, 20)), (7, 0.4, (4, 3)), (6, 0.5, (3, 3))]
)
def test_a_budget_for_all_is_shared_with_validation(n, fraction, expected):
    both = settings(
        "selection=uniform", f"comparisons.n={n}", "comparisons.budget=all", f"validation.fraction={fraction}"
    )
    assert both.budgets == expected and sum(expected) == n
    found = answer_train(both, tied_responses(), ~LAST_30)
    held = answer_validation(both, tied_responses(), LAST_30)
    assert (found.report["n_annotated"], held.report["n_annotated"]) == expected
    for answered in (found, held):  # ties are part of the budget, and dropped
        assert answered.report["n_annotated"] == len(answered.comparisons) + answered.report["n_ties"]


def test_a_budget_for_training_leaves_validation_its_own():
    alone = settings("selection=uniform", "comparisons.n=200", "comparisons.n_validation=40")
    assert alone.budgets == (200, 40)
    found = answer_train(alone, tied_responses(), ~LAST_30)
    held = answer_validation(alone, tied_responses(), LAST_30)
    assert found.report["n_annotated"] == 200 > len(found.comparisons)
    assert held.report["n_annotated"] == 40 > len(held.comparisons)


def test_a_budget_of_everything_has_nothing_to_share():
    everything = settings("selection=uniform", "comparisons.n=null", "comparisons.budget=all")
    assert everything.budgets == (None, None)


def test_too_few_validation_prompts_for_their_share():
    large = settings(
        "selection=uniform", "comparisons.n=400", "comparisons.budget=all", "validation.fraction=0.2"
    )
    with pytest.raises(
        InputError, match="gives 80 of comparisons.n=400 to validation, but .* allow 60; raise"
    ):
        answer_validation(large, tied_responses(), LAST_30)


def test_rounds_select_the_training_share():
    shared = settings(
        "comparisons.n=20", "comparisons.rounds=2", "comparisons.budget=all", "validation.fraction=0.25"
    )
    assert len(select_in_rounds(shared, candidates(50), Choosing())) == 15
    with pytest.raises(ConfigError, match="budget=all leaves 15 of n=20 comparisons for training, and 5 for"):
        settings(
            "comparisons.n=20", "comparisons.rounds=16", "comparisons.budget=all", "validation.fraction=0.25"
        )


@pytest.mark.parametrize(("noise", "each"), [("logistic", 1), ("crowd", 3)])
def test_what_is_selected_is_what_was_annotated(noise, each):
    """The other candidates have answers so that all rules see the same ones, not because anyone was asked."""
    asked = answer_train(settings(*ROUNDS, f"noise={noise}"), responses(), TRAIN)
    chosen = asked.comparisons.take(np.arange(20))
    assert selected_report(asked, chosen)["n_annotated"] == 20 * each
    assert asked.report["n_annotated"] == 100 * each


@pytest.mark.parametrize("across", ["false", "true"])
def test_one_pair_of_each_prompt(across):
    sets = load_settings([*SMALL, "pairing=response_sets", f"pairing.across={across}", "comparisons.n=null"])
    found = answer_train(sets, tied_responses(), ~LAST_30)
    held = answer_validation(sets, tied_responses(), LAST_30)
    assert found.report["n_annotated"] == 54 and held.report["n_annotated"] == 6
    assert found.report["n"] == len(found.comparisons) < 54
    with pytest.raises(
        InputError, match="asked for 60 .* 54 prompts have two responses: set comparisons.n=null"
    ):
        answer_train(load_settings([*SMALL, "pairing=response_sets"]), tied_responses(), ~LAST_30)


def test_designs_of_a_seed_have_equal_n_and_none_has_ties():
    def answered(choice: str, across: str, seed: int):
        sets = [
            "pairing=response_sets",
            f"pairing.choice={choice}",
            f"pairing.across={across}",
            f"seed={seed}",
        ]
        more = ["pairing.equal_n=true", "comparisons.n=null"]
        report = answer_train(load_settings([*SMALL, *sets, *more]), tied_responses(), ~LAST_30).report
        assert report["n"] == report["n_annotated"] and report["n_ties"] == 0
        return report["n"]

    designs = [
        (choice, across) for choice in ("random", "similar", "diverse") for across in ("false", "true")
    ]
    for seed in (0, 1):
        assert len({answered(*design, seed) for design in designs}) == 1
