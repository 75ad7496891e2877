"""Times and sizes that a plan foretells from earlier artifacts: as many times as there is more to do."""

from __future__ import annotations

import pytest
from small_settings import SMALL

from rmlab.pipeline import costs
from rmlab.pipeline.plan import load_arms, plan
from rmlab.pipeline.problems import Problems


def cost_of(stage, small_run, *more):
    """The cost of a stage of a plan like the small run's, and what that run's artifact took and wrote."""
    same = [*SMALL, f"out={small_run}"]
    done, node = (next(n for n in plan(load_arms(to)) if n.stage == stage) for to in (same, [*same, *more]))
    made = done.open().manifest
    return costs._cost(node, Problems()), made.seconds, sum(file.bytes for file in made.files)


# Responses: 12 train prompts with 5 each, and 6 test prompts with 6 each.
MORE = [
    ("sample", "sampling.n_test=22", 2.0),
    ("annotate", "sampling.n_test=22", 2.0),
    ("embed", "sampling.n_test=22", 2.0),
    ("sample", "sampling.max_new_tokens=48", 4.0),
    ("embed", "sampling.max_new_tokens=48", 4.0),
    ("annotate", "sampling.max_new_tokens=48", 1.0),
]


@pytest.mark.parametrize(("stage", "more", "times"), MORE)
def test_a_time_grows_with_the_responses_and_with_their_tokens(small_run, stage, more, times):
    cost, seconds, n_bytes = cost_of(stage, small_run, more)
    assert cost.seconds == pytest.approx(times * seconds)
    assert cost.bytes == pytest.approx(times * n_bytes)


def test_a_model_that_is_trained_for_longer_is_not_larger(small_run):
    cost, seconds, n_bytes = cost_of("sft", small_run, "sft.epochs=7")
    assert cost.seconds == pytest.approx(seconds * 7) and cost.bytes == n_bytes


@pytest.mark.parametrize("stage", ["eval_rm", "report"])
def test_of_stages_whose_amount_nobody_counts_nothing_is_foretold(small_run, stage):
    cost, _, _ = cost_of(stage, small_run, "evaluation.resamples=60")
    assert cost.seconds is None and cost.bytes is None
