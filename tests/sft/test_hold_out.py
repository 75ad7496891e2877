"""Held-out demonstrations: by prompt, by content, deterministic."""

from __future__ import annotations

import random

import pytest

from rmlab.data.prompts import Demonstration
from rmlab.sft.task import hold_out


def demos(n: int, copies: int = 1) -> list[Demonstration]:
    return [
        Demonstration([{"role": "user", "content": f"prompt {i}"}], f"answer {i} {k}")
        for i in range(n)
        for k in range(copies)
    ]


def prompts(part: list[Demonstration]) -> set[str]:
    return {d.messages[0]["content"] for d in part}


def test_a_prompt_is_on_one_side_with_all_its_demonstrations():
    learned, held = hold_out(demos(20, copies=3), 0.25)
    assert (len(learned), len(held)) == (45, 15)
    assert not prompts(learned) & prompts(held)


def test_the_order_of_the_file_does_not_matter():
    shuffled = demos(50)
    random.Random(0).shuffle(shuffled)
    assert prompts(hold_out(shuffled, 0.2)[1]) == prompts(hold_out(demos(50), 0.2)[1])


@pytest.mark.parametrize(
    ("n", "fraction", "held"), [(10, 0, 0), (4, 0.1, 0), (1, 0.9, 0), (3, 0.99, 2), (8, 0.1, 1)]
)
def test_the_share_is_rounded_and_one_prompt_is_left_to_learn_from(n, fraction, held):
    learned, kept = hold_out(demos(n), fraction)
    assert (len(learned), len(kept)) == (n - held, held)
