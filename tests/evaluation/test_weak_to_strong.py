"""Weak to strong: who is fitted on what, against fits whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from fitting_world import World, agreement, world
from scipy.stats import spearmanr
from small_settings import SMALL

from rmlab.config.hydra import load_settings
from rmlab.errors import ConfigError, InputError
from rmlab.evaluation.fit import Fit, held_out
from rmlab.evaluation.fit_head import fit_head, teachers_half
from rmlab.pipeline.chain import chain_of, fit_node

TAUGHT = ("arms=[]", "comparisons.n=200", "comparisons.n_validation=100", "teacher.n=400")


def settings(*more: str):
    return load_settings([*SMALL, *TAUGHT, *more])


def fit(w: World, *more: str) -> Fit:
    return fit_head(settings(*more), w.responses, w)


def test_teacher_and_student_share_no_prompt_and_both_have_validation_prompts():
    w, s = world(), settings()
    teachers, validation = teachers_half(s, w.responses), held_out(s, w.responses)
    group = w.responses.group
    for part in (validation, ~validation):
        ours, theirs = set(group[part & teachers]), set(group[part & ~teachers])
        assert not ours & theirs
        assert abs(len(ours) - len(theirs)) <= 1
    teacher, student = fit(w, "teacher.fit=teacher"), fit(w, "teacher.fit=student")
    assert teachers[teacher.train.items].all() and teachers[teacher.validation.items].all()
    assert not teachers[student.train.items].any() and not teachers[student.validation.items].any()
    assert len(teacher.train) == 400 and len(student.train) == 200


def test_the_student_of_a_perfect_teacher_is_the_ceiling_without_noise():
    """A regression on golden scores that are linear in x is a teacher that makes no mistake."""
    w = world()
    student = fit(w, "noise.error=0.3", "loss@teacher.loss=regression")
    ceiling = fit(w, "noise=none", "teacher.fit=ceiling")
    assert student.teacher["train_accuracy"] == student.teacher["validation_accuracy"] == 1.0
    np.testing.assert_array_equal(student.head.weight, ceiling.head.weight)
    np.testing.assert_array_equal(student.train.items, ceiling.train.items)
    assert student.head.score(w.x).tobytes() == ceiling.head.score(w.x).tobytes()


def test_a_student_like_its_teacher_recovers_the_teachers_order():
    """Most likely answers of a linear teacher are separable, however often the teacher is wrong."""
    w = world(prompts=120)
    teacher = fit(w, "noise.error=0.35", "teacher.fit=teacher", "comparisons.n=1000", "teacher.n=60")
    student = fit(w, "noise.error=0.35", "comparisons.n=1000", "teacher.n=60")
    assert agreement(w, teacher.head) < 0.95
    assert spearmanr(student.head.score(w.x), teacher.head.score(w.x)).statistic > 0.97
    assert student.teacher["train_accuracy"] == pytest.approx(1 - student.reports["train"]["error_rate"])
    assert student.reports["train"]["error_rate"] > 0.05


def test_a_teacher_that_tosses_coins_teaches_nothing():
    w = world(prompts=200)
    student = fit(w, "teacher.answers=sampled", "teacher.temperature=1e9", "comparisons.n=2000")
    assert student.teacher["train_accuracy"] == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / 2000))
    assert abs(agreement(w, student.head)) < 0.5
    assert agreement(w, fit(w, "teacher.fit=ceiling", "comparisons.n=2000").head) > 0.9


def test_the_student_is_the_strong_head_and_the_teacher_the_weak_one():
    w = world()
    how = ("head=trees", "loss=classification", "head@teacher.head=linear")
    assert fit(w, *how, "teacher.fit=teacher").head.kind == "linear"
    assert fit(w, *how).head.kind == fit(w, *how, "teacher.fit=ceiling").head.kind == "trees"


def test_without_a_teacher_the_settings_of_one_change_nothing():
    def node(*more: str):
        s = load_settings([*SMALL, "arms=[]", "sft=none", *more])
        return fit_node(chain_of(s), "x", s)

    assert node("head@teacher.head=mlp", "teacher.answers=sampled").fingerprint == node().fingerprint
    assert "teacher" not in node().config
    taught = {
        node("teacher.n=50", *more).fingerprint
        for more in ([], ["teacher.head.l2=1"], ["teacher.fit=ceiling"])
    }
    assert len(taught | {node().fingerprint}) == 4


def test_what_cannot_be_taught_is_one_line():
    with pytest.raises(
        ConfigError, match=r"fit=ceiling needs a teacher; set teacher.n, such as teacher.n=300"
    ):
        load_settings([*SMALL, "teacher.fit=ceiling"])
    with pytest.raises(ConfigError, match=r"a teacher answers pairs alone, not comparisons of kind list"):
        fit(world(), "pairing=lists", "loss=plackett_luce", "loss@teacher.loss=plackett_luce")
    with pytest.raises(InputError, match=r"need validation prompts each, and there is one group of them"):
        fit(world(prompts=4), "teacher.n=5", "comparisons.n=5")
    with pytest.raises(InputError, match=r"the teacher, of teacher\.n, .*asked for 5000 comparisons"):
        fit(world(), "teacher.n=5000")
