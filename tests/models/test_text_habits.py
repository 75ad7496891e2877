"""Whatever the tokenizer's habits: the text as it was written, one begin token, no token out of content."""

import re

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from tokenizer_habits import HABITS

from rmlab.models.text.rendering import Exchange, render
from rmlab.models.text.tokens import encode, encode_all, encode_prompt, response_text

EXACT = [h for h in HABITS if h.exact]
_NAMES = ["</s>", "<s>", "<|im_end|>", "<|im_start|>", "<|endoftext|>", "<bos>", "<eos>", "<pad>", "<unk>"]
_NAMES += ["[SEP]", "[CLS]", "<end_of_turn>", "<|eot_id|>", "<|begin_of_text|>", "<</s>/s>", "<", "s>"]
_WORDS = ["Hi", "yes", " no", " ", "  ", "\n", "\n\n", "é", "e\u0301", "日本", "\ue000", "a", ".", "<think>"]
_piece = st.one_of(
    st.sampled_from(_NAMES + _WORDS),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁"), max_size=4),
)
texts = st.lists(_piece, min_size=1, max_size=6).map("".join)
contents = texts.filter(lambda text: text.strip() != "")
templates = st.sampled_from(["plain", "hh", "chat"])


@st.composite
def dialogues(draw, habit):
    """Messages that end with the user's, a response, and a template that takes them."""
    roles = ["user", "assistant"] * draw(st.integers(0, 1)) + ["user"]
    template = draw(templates.filter(lambda t: t != "chat" or habit.tokenizer().chat_template))
    if draw(st.booleans()) and (habit.systems or template != "chat"):
        roles = ["system", *roles]
    return [{"role": r, "content": draw(contents)} for r in roles], draw(texts), template


def _decode(tokenizer, ids, **options):
    return tokenizer.decode(ids, clean_up_tokenization_spaces=False, **options)


def _unspaced(text, habit):
    """Without a first space: the tokenizer's to add or drop, by SentencePiece's legacy after every bos."""
    return re.sub(f"{re.escape(habit.begin)} +", habit.begin, text) if habit.begin else text.removeprefix(" ")


def _special(tokenizer, ids):
    """The special tokens among ids; an unknown character is not one that somebody wrote."""
    special = {i for i, t in tokenizer.added_tokens_decoder.items() if t.special} - {tokenizer.unk_token_id}
    return [i for i in ids if i in special]


@pytest.mark.parametrize("habit", EXACT, ids=str)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_the_tokens_decode_to_the_text_as_rendered(habit, data):
    tokenizer = habit.tokenizer()
    messages, response, template = data.draw(dialogues(habit))
    shown = render(messages, response, template, tokenizer)
    encoded = encode(Exchange("p", "r", messages, response), template, tokenizer, 10**6)
    prompt = _decode(tokenizer, encoded.prompt)
    written = template == "chat" and shown.prompt.startswith(habit.begin)
    assert _unspaced(prompt, habit) == _unspaced(
        shown.prompt if written else habit.begin + shown.prompt, habit
    )
    assert _decode(tokenizer, encoded.prompt + encoded.response) == prompt + shown.response


@pytest.mark.parametrize("habit", HABITS, ids=str)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_content_never_becomes_a_special_token(habit, data):
    tokenizer = habit.tokenizer()
    messages, response, template = data.draw(dialogues(habit))
    harmless = [{**m, "content": "a"} for m in messages]
    shown, plain = (
        encode(Exchange("p", "r", m, r), template, tokenizer, 10**6, closing=True)
        for m, r in ((messages, response), (harmless, "a"))
    )
    assert _special(tokenizer, shown.prompt) == _special(tokenizer, plain.prompt)
    assert _special(tokenizer, shown.response) == _special(tokenizer, plain.response)


@pytest.mark.parametrize("habit", HABITS, ids=str)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_one_begin_token_where_the_habit_has_one(habit, data):
    tokenizer = habit.tokenizer()
    messages, response, template = data.draw(dialogues(habit))
    encoded = encode(Exchange("p", "r", messages, response), template, tokenizer, 10**6)
    ids = encoded.prompt + encoded.response
    if not habit.begin:
        assert template == "chat" or not _special(tokenizer, ids)
        return
    begin = tokenizer.convert_tokens_to_ids(habit.begin)
    turns = sum(m["role"] == "user" for m in messages)
    opened = (
        turns if template == "chat" and habit.name.startswith("llama_2") else 1
    )  # its template opens each turn
    assert ids[0] == begin and ids[1] != begin
    assert ids.count(begin) == opened


@pytest.mark.parametrize("habit", HABITS, ids=str)
@settings(max_examples=10, deadline=None)
@given(data=st.data(), limit=st.integers(1, 60), closing=st.booleans())
def test_all_at_once_are_the_same_as_one_by_one(habit, data, limit, closing):
    tokenizer = habit.tokenizer()
    drawn = [data.draw(dialogues(habit)) for _ in range(3)]
    template = drawn[0][2]
    messages = [m for m, _, t in drawn if t == template]
    exchanges = [Exchange("p", "r", m, r) for m in messages for _, r, _ in drawn]
    together = encode_all(exchanges, template, tokenizer, limit, closing)
    assert together == [encode(e, template, tokenizer, limit, closing) for e in exchanges]
    assert encode_all([], template, tokenizer, limit) == []


@pytest.mark.parametrize("habit", HABITS, ids=str)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_padding_side_and_published_truncation_change_nothing(habit, data):
    messages, response, template = data.draw(dialogues(habit))
    long = [*messages[:-1], {"role": "user", "content": messages[-1]["content"] + " yes no" * 40}]
    found = []
    for side in ("left", "right"):
        tokenizer = habit.tokenizer()
        tokenizer.padding_side = tokenizer.truncation_side = side
        encoded = encode(Exchange("p", "r", long, response), template, tokenizer, 10**6)
        alone = encode_prompt(render(long, "", template, tokenizer), template, tokenizer)
        assert encoded.prompt == alone  # what the sampler shows is what SFT, scorer and embedder show
        found.append(encoded)
    assert found[0] == found[1]
    assert not found[0].truncated and len(found[0].prompt) > 40


@pytest.mark.parametrize("habit", EXACT, ids=str)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_generated_tokens_give_the_text_that_gives_them_back(habit, data):
    tokenizer = habit.tokenizer()
    messages, response, template = data.draw(dialogues(habit))
    encoded = encode(Exchange("p", "r", messages, response), template, tokenizer, 10**6)
    text = response_text(encoded.response, tokenizer)
    assert text == render(messages, response, template, tokenizer).response
    again = encode(Exchange("p", "r", messages, text), template, tokenizer, 10**6)
    assert again == encoded


def test_a_response_has_no_space_that_it_was_not_given():
    for habit in (h for h in HABITS if h.name.startswith("llama_2") or h.name == "prefix_space"):
        tokenizer = habit.tokenizer()
        exchange = Exchange("p", "r", [{"role": "user", "content": "Hi"}], "yes")
        space = tokenizer.convert_ids_to_tokens(tokenizer(" yes", add_special_tokens=False)["input_ids"])
        shown = [encode(exchange, t, tokenizer, 100).response for t in ("plain", "hh")]
        assert [tokenizer.convert_ids_to_tokens(ids) for ids in shown] == [["yes"], space[-1:]]


def test_words_stay_apart_where_the_mark_of_a_word_is_the_space_before_it():
    habit = next(h for h in HABITS if h.name == "xlm_roberta")
    tokenizer = habit.tokenizer()
    encoded = encode(
        Exchange("p", "r", [{"role": "user", "content": "Hi"}], "yes no"), "plain", tokenizer, 99
    )
    assert tokenizer.convert_ids_to_tokens(encoded.response) == ["▁yes", "▁no"]
