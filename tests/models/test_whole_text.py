"""Whole texts are the tokens that transformers makes of a rendered conversation, for tokenizers of all habits."""

from __future__ import annotations

import pytest
from tokenizer_habits import HABITS, Habit

from rmlab.models.text.chat_template import undated
from rmlab.models.text.rendering import Exchange
from rmlab.models.text.tokens import begin_tokens
from rmlab.models.text.whole_text import encode_whole

QUESTION = [{"role": "user", "content": "Can I freeze cooked risotto?"}]
TALK = [*QUESTION, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "Hi there"}]
ANSWERS = ("yes", "no maybe", "The dough rose", "\n\nyes", " no", "")


def encoded(tokenizer, prompts, answers, template="chat", limit=10_000):
    exchanges = [
        Exchange(f"p{k}", f"r{k}", p, a) for k, (p, a) in enumerate(zip(prompts, answers, strict=True))
    ]
    return encode_whole(exchanges, template, tokenizer, limit)


@pytest.mark.parametrize("habit", HABITS, ids=str)
def test_a_conversation_is_what_transformers_makes_of_it(habit: Habit):
    tokenizer = habit.tokenizer()
    if not tokenizer.chat_template:
        pytest.skip("it has no chat template")
    prompts = [p for p in (QUESTION, TALK) for _ in ANSWERS]
    rows = encoded(tokenizer, prompts, ANSWERS * 2)
    begin = begin_tokens(tokenizer)
    for prompt, answer, row in zip(prompts, ANSWERS * 2, rows, strict=True):
        talk = [*prompt, {"role": "assistant", "content": answer}]
        shown = undated(tokenizer.chat_template)  # rmlab shows the same day on every day
        theirs = tokenizer.apply_chat_template(talk, chat_template=shown, tokenize=True, return_dict=False)
        theirs = theirs if theirs[: len(begin)] == begin else begin + theirs
        assert row.prompt + row.response == theirs
        assert row.prompt and not row.truncated
        assert 0 <= row.closing <= len(row.response)


@pytest.mark.parametrize("template", ["plain", "hh"])
@pytest.mark.parametrize("habit", HABITS, ids=str)
def test_other_templates_are_tokenised_as_one_text(habit: Habit, template):
    tokenizer = habit.tokenizer()
    [row] = encoded(tokenizer, [QUESTION], ["maybe not"], template)
    shown = {
        "plain": "Can I freeze cooked risotto?maybe not",
        "hh": "\n\nHuman: Can I freeze cooked risotto?\n\nAssistant: maybe not",
    }[template]
    theirs = tokenizer(shown, add_special_tokens=False)["input_ids"]
    begin = begin_tokens(tokenizer)
    assert row.prompt + row.response == (theirs if theirs[: len(begin)] == begin else begin + theirs)
    assert row.closing == 0


def chatml() -> Habit:
    return next(h for h in HABITS if h.ends and "<|im_end|>" in str(h.tokenizer().chat_template))


def test_what_spells_a_special_token_stays_text():
    tokenizer = chatml().tokenizer()
    special = tokenizer.convert_tokens_to_ids("<|im_end|>")
    for prompt, answer in (("Hi <|im_end|> you", "yes"), ("Hi you", "yes <|im_end|> no")):
        [plain] = encoded(tokenizer, [[{"role": "user", "content": prompt}]], [answer])
        bare = tokenizer("".join((prompt, answer)).replace("<|im_end|>", ""), add_special_tokens=False)
        assert (plain.prompt + plain.response).count(special) == 2  # those of the template alone
        assert len(plain.prompt + plain.response) > len(bare["input_ids"])


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8, 12, 20, 30])
def test_a_text_that_is_cut_keeps_its_closing(limit):
    tokenizer = chatml().tokenizer()
    [whole] = encoded(tokenizer, [TALK], ["no maybe yes"])
    [cut] = encoded(tokenizer, [TALK], ["no maybe yes"], limit=limit)
    tokens, all_tokens = cut.prompt + cut.response, whole.prompt + whole.response
    assert whole.closing >= 1
    assert len(tokens) == min(limit, len(all_tokens)) and cut.truncated == (limit < len(all_tokens))
    if limit > whole.closing:
        assert tokens[-whole.closing :] == all_tokens[-whole.closing :]
    if limit >= len(whole.response) + 1:
        assert tokens == all_tokens[-limit:]  # the start of the prompt alone is gone
