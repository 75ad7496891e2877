"""Chat templates for other programs: transformers makes of them the tokens that rmlab pools."""

from __future__ import annotations

import pytest
from tokenizer_habits import HABITS, Habit

from rmlab.errors import InputError
from rmlab.models.text.rendering import Exchange
from rmlab.models.text.tokens import begin_tokens
from rmlab.models.text.whole_text import encode_whole
from rmlab.reward.chat_templates import chat_template_of

DECODERS = [h for h in HABITS if h.exact]
PROMPTS = (
    [{"role": "user", "content": "yes no\n\n"}],
    [{"role": "system", "content": "model"}, {"role": "user", "content": " Hi there, user "}],
    [
        {"role": "user", "content": "no"},
        {"role": "assistant", "content": " yes"},
        {"role": "user", "content": "a"},
    ],
)
ANSWERS = ("Hi", " The dough rose", "", "\nyes")


def checked(tokenizer, template, prompts):
    shown = chat_template_of(template, tokenizer)
    for prompt in prompts:
        for answer in ANSWERS:
            [row] = encode_whole([Exchange("p", "r", prompt, answer)], template, tokenizer, 10**6)
            talk = [*prompt, {"role": "assistant", "content": answer}]
            theirs = tokenizer.apply_chat_template(
                talk, chat_template=shown, tokenize=True, return_dict=False
            )
            assert theirs == row.prompt + row.response
            begin = begin_tokens(tokenizer)
            assert theirs[: len(begin)] == begin and (
                not begin or theirs[len(begin) :][: len(begin)] != begin
            )


@pytest.mark.parametrize("template", ["plain", "hh"])
@pytest.mark.parametrize("habit", DECODERS, ids=str)
def test_rmlabs_own_templates_leave_home(habit: Habit, template):
    checked(habit.tokenizer(), template, PROMPTS)


@pytest.mark.parametrize("habit", DECODERS, ids=str)
def test_a_models_own_template_leaves_home_with_rmlabs_date(habit: Habit):
    tokenizer = habit.tokenizer()
    if not tokenizer.chat_template:
        pytest.skip("it has no chat template")
    checked(tokenizer, "chat", PROMPTS if habit.systems else [PROMPTS[0], PROMPTS[2]])


def test_begin_tokens_that_no_template_can_write_are_refused():
    tokenizer = next(h for h in HABITS if h.name == "bert").tokenizer()
    with pytest.raises(InputError, match=r"no chat template makes the tokens .*begin tokens"):
        chat_template_of("plain", tokenizer)
