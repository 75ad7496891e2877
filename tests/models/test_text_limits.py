"""What is cut to a limit: the start of the prompt first, never its begin token, and it is said."""

from dataclasses import dataclass
from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from tokenizer_habits import HABITS

from rmlab.errors import InputError
from rmlab.models.text.rendering import Exchange
from rmlab.models.text.tokens import cut_prompt, encode, encode_all

_words = st.lists(st.sampled_from(["Hi", "no", "yes", "é", "the"]), min_size=1, max_size=8).map(" ".join)


@dataclass(frozen=True)
class Case:
    whole: list[int]
    prompt: list[int]
    begin: list[int]


def _case(habit, exchange, template):
    tokenizer = habit.tokenizer()
    whole = encode(exchange, template, tokenizer, 10**6)
    begin = [tokenizer.convert_tokens_to_ids(habit.begin)] if habit.begin else []
    return Case(whole.prompt + whole.response, whole.prompt, begin)


@pytest.mark.parametrize("habit", HABITS, ids=str)
@settings(max_examples=15, deadline=None)
@given(content=_words, response=_words, template=st.sampled_from(["plain", "hh"]))
def test_every_limit_is_kept_and_every_cut_is_said(habit, content, response, template):
    tokenizer = habit.tokenizer()
    exchange = Exchange("p", "r", [{"role": "user", "content": content}], response)
    case = _case(habit, exchange, template)
    seen = []
    for limit in range(1, len(case.whole) + 3):
        encoded = encode(exchange, template, tokenizer, limit)
        ids = encoded.prompt + encoded.response
        assert len(ids) == min(limit, len(case.whole))
        assert encoded.truncated == (limit < len(case.whole))
        kept = encoded.prompt
        if limit > len(case.begin):
            assert kept[: len(case.begin)] == case.begin
            kept = kept[len(case.begin) :]
        assert kept and case.prompt[-len(kept) :] == kept  # the end of the prompt, one token at least
        assert case.whole[len(case.prompt) :][: len(encoded.response)] == encoded.response
        # no response token is given up while the prompt has more than its last one
        assert len(kept) == 1 or encoded.response == case.whole[len(case.prompt) :]
        seen.append((len(encoded.prompt), len(encoded.response)))
    for (prompt, answer), (longer_prompt, longer_answer) in pairwise(seen[1:]):
        assert longer_prompt >= prompt and longer_answer >= answer


@pytest.mark.parametrize("habit", HABITS, ids=str)
def test_the_sampler_s_cut_is_the_cut_of_the_rest(habit):
    tokenizer = habit.tokenizer()
    exchange = Exchange("p", "r", [{"role": "user", "content": "the dough rose " * 9}], "")
    whole = encode(exchange, "plain", tokenizer, 10**6).prompt
    for limit in (1, 2, 5, len(whole), len(whole) + 1):
        assert cut_prompt(whole, limit, tokenizer) == encode(exchange, "plain", tokenizer, limit).prompt


@pytest.mark.parametrize("limit", [0, -3])
def test_no_room_at_all_is_an_error(limit):
    exchange = Exchange("p", "r", [{"role": "user", "content": "Hi"}], "yes")
    with pytest.raises(InputError, match=f"a limit of {limit} tokens leaves no room"):
        encode_all([exchange], "plain", HABITS[0].tokenizer(), limit)
