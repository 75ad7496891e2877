import pytest

from rmlab.errors import InputError
from rmlab.models.bundled.random_tiny import byte_tokenizer
from rmlab.models.text.rendering import Exchange, render, template_hash
from rmlab.models.text.tokens import context_length, cut_prompt, encode, encode_prompt, end_tokens

USER = [{"role": "user", "content": "Hi"}]


@pytest.fixture(params=["no bos", "bos", "bos and eos"])
def tokenizer(request):
    from tokenizers.processors import TemplateProcessing

    made = byte_tokenizer()
    if request.param != "no bos":
        end = " <eos>" if request.param == "bos and eos" else ""
        special = [("<bos>", made.bos_token_id), ("<eos>", made.eos_token_id)]
        made.backend_tokenizer.post_processor = TemplateProcessing(f"<bos> $A{end}", None, special)
    made.habit = request.param
    return made


def test_each_template_shows_the_same_content():
    tokenizer = byte_tokenizer()
    plain, hh, chat = (render(USER, "yes", t, tokenizer) for t in ("plain", "hh", "chat"))
    assert (plain.prompt, plain.response, plain.closing) == ("Hi", "yes", "")
    assert hh.prompt + hh.response == "\n\nHuman: Hi\n\nAssistant: yes"
    assert chat.prompt + chat.response + chat.closing == "<user>Hi\n<assistant>yes\n"


def test_hh_has_one_space_whatever_the_response_begins_with():
    assert render(USER, " yes", "hh", None).response == " yes"


def test_a_dialogue_is_rendered_whole():
    turns = [*USER, {"role": "assistant", "content": "A"}, {"role": "user", "content": "B"}]
    assert render(turns, "", "hh", None).prompt == "\n\nHuman: Hi\n\nAssistant: A\n\nHuman: B\n\nAssistant:"
    assert render(turns, "", "plain", None).prompt == "Hi\n\nA\n\nB"


@pytest.mark.parametrize("template", ["plain", "hh", "chat"])
def test_one_begin_token_where_the_tokenizer_has_one_and_no_end_inside(tokenizer, template):
    encoded = encode(Exchange("p", "r", USER, "yes"), template, tokenizer, 1000)
    ids = encoded.prompt + encoded.response
    assert ids.count(tokenizer.bos_token_id) == (0 if tokenizer.habit == "no bos" else 1)
    assert tokenizer.eos_token_id not in ids
    rendered = render(USER, "yes", template, tokenizer)
    assert tokenizer.decode(ids, skip_special_tokens=True) == rendered.prompt + rendered.response


def test_a_begin_token_that_the_template_wrote_is_not_doubled(tokenizer):
    tokenizer.chat_template = "<bos>{{ messages[0]['content'] }}"
    ids = encode(Exchange("p", "r", USER, "x"), "chat", tokenizer, 1000).prompt
    assert ids.count(tokenizer.bos_token_id) == 1


def test_what_is_too_long_loses_the_start_of_the_prompt_first():
    tokenizer = byte_tokenizer()
    exchange = Exchange("p", "r", [{"role": "user", "content": "abcdef"}], "xyz")
    for limit, shown in ((9, "abcdefxyz"), (8, "bcdefxyz"), (4, "fxyz"), (3, "fxy"), (2, "fx")):
        encoded = encode(exchange, "plain", tokenizer, limit)
        assert tokenizer.decode(encoded.prompt + encoded.response) == shown
        assert encoded.truncated == (limit < 9)


def test_a_model_without_a_chat_template_is_told_apart():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(InputError, match="no chat template; use a template that needs none"):
        render(USER, "", "chat", tokenizer)


def test_the_hash_follows_the_template():
    tokenizer = byte_tokenizer()
    before = template_hash("chat", tokenizer)
    assert template_hash("plain", tokenizer) != before
    tokenizer.chat_template += " "
    assert template_hash("chat", tokenizer) != before


def test_an_empty_prompt_has_no_tokens_to_answer():
    rendered = render([{"role": "user", "content": ""}], "", "plain", None)
    with pytest.raises(InputError, match="no tokens"):
        encode_prompt(rendered, "plain", byte_tokenizer())


def test_the_context_is_the_smallest_known_limit():
    class Config:
        max_position_embeddings = 512

    class Tokenizer:
        model_max_length = 10**30

    assert context_length(Config, Tokenizer) == 512
    Tokenizer.model_max_length = 128
    assert context_length(Config, Tokenizer) == 128
    Tokenizer.model_max_length = 0.5  # no text has so many tokens: such a value says nothing
    assert context_length(Config, Tokenizer) == 512


def test_the_closing_does_not_hang_on_what_the_template_does_to_content():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] | trim }}<end>{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    for response in ("yes", " yes ", ""):
        rendered = render(USER, response, "chat", tokenizer)
        assert (rendered.prompt, rendered.closing) == ("<user>Hi<end><assistant>", "<end>")


def test_a_cut_prompt_keeps_its_begin_token(tokenizer):
    ids = encode_prompt(render(USER, "", "hh", tokenizer), "hh", tokenizer)
    cut = cut_prompt(ids, 5, tokenizer)
    assert len(cut) == 5 and cut[-4:] == ids[-4:]
    assert (cut[0] == tokenizer.bos_token_id) == (tokenizer.habit != "no bos")
    assert cut_prompt(ids, 1000, tokenizer) == ids


def test_an_encoder_s_tokens_stand_around_the_text():
    from tokenizers.processors import TemplateProcessing

    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"cls_token": "<bos>", "sep_token": "<eos>"})
    tokenizer.bos_token = None
    special = [("<bos>", tokenizer.cls_token_id), ("<eos>", tokenizer.sep_token_id)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing("<bos> $A <eos>", None, special)
    encoded = encode(Exchange("p", "r", USER, "yes"), "plain", tokenizer, 1000)
    assert encoded.prompt[0] == tokenizer.cls_token_id and end_tokens(tokenizer) == [tokenizer.sep_token_id]
    assert end_tokens(byte_tokenizer()) == []


def test_a_tokenizer_s_own_end_token_is_seen():
    from tokenizers.processors import TemplateProcessing

    tokenizer = byte_tokenizer()
    end = ("<eos>", tokenizer.eos_token_id)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing("$A <eos>", None, [end])
    assert end_tokens(tokenizer) == [tokenizer.eos_token_id]
    assert (
        encode(Exchange("p", "r", USER, "yes"), "plain", tokenizer, 1000).response
        == tokenizer("yes", add_special_tokens=False)["input_ids"]
    )
