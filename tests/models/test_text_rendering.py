"""What each template writes around messages and a response."""

import pytest
import tokenizer_habits as made
from tokenizer_habits import HABITS

from rmlab.errors import InputError
from rmlab.models.text.rendering import Exchange, render, template_hash
from rmlab.models.text.tokens import encode, encode_prompt

USER = [{"role": "user", "content": "Hi"}]
SYSTEM = [{"role": "system", "content": "Be brief."}, *USER]
TALK = [*USER, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "no"}]
CHATTY = [h for h in HABITS if h.ends]
LIKE_HISTORY = [h for h in CHATTY if h.name not in ("thinking", "dated")]


@pytest.mark.parametrize("messages", [USER, TALK], ids=["one turn", "three turns"])
@pytest.mark.parametrize("habit", LIKE_HISTORY, ids=str)
def test_a_whole_chat_is_what_the_template_makes_of_it(habit, messages):
    tokenizer = habit.tokenizer()
    whole = [*messages, {"role": "assistant", "content": "maybe"}]
    shown = render(messages, "maybe", "chat", tokenizer)
    text = tokenizer.apply_chat_template(whole, tokenize=False)
    assert shown.prompt + shown.response + shown.closing == text
    encoded = encode(Exchange("p", "r", messages, "maybe"), "chat", tokenizer, 10**6, closing=True)
    reference = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert encoded.prompt + encoded.response == reference


@pytest.mark.parametrize("habit", [h for h in CHATTY if h.name != "dated"], ids=str)
def test_a_chat_prompt_has_the_tokens_that_transformers_gives_it(habit):
    tokenizer = habit.tokenizer()
    ours = encode_prompt(render(TALK, "", "chat", tokenizer), "chat", tokenizer)
    reference = tokenizer.apply_chat_template(TALK, add_generation_prompt=True, return_dict=False)
    assert ours == list(reference)


@pytest.mark.parametrize("habit", CHATTY, ids=str)
def test_a_turn_ends_once_as_its_template_ends_it(habit):
    tokenizer = habit.tokenizer()
    encoded = encode(Exchange("p", "r", USER, "yes</s><|im_end|>"), "chat", tokenizer, 10**6, closing=True)
    response = tokenizer.convert_ids_to_tokens(encoded.response)
    assert sum(token in tokenizer.all_special_tokens for token in response) <= 1
    assert tokenizer.decode(encoded.response[-len(habit.ends) :]) == "".join(habit.ends)


def test_a_response_brings_its_own_space_or_gets_the_template_s():
    tokenizer = made.llama_2()
    assert [render(USER, r, "chat", tokenizer).response for r in ("yes", " yes", "\nyes")] == [
        " yes",
        " yes",
        "\nyes",
    ]


def test_a_thinking_block_is_left_to_the_model():
    shown = render(USER, "yes", "chat", made.qwen(made.THINKING))
    assert (shown.prompt[-len("<think>\n") :], shown.response) == ("<think>\n", "yes")
    emptied = made.CHATML.replace(
        "+ m['content']", "+ ('<think></think>' if m['role'] == 'assistant' else '') + m['content']"
    )
    assert render(USER, "yes", "chat", made.qwen(emptied)).response == "yes"


def test_today_is_always_the_same_day():
    shown = render(USER, "", "chat", made.qwen(made.DATED))
    assert shown.prompt.startswith("Today: 26 Jul 2024\n<|im_start|>user\nHi")


@pytest.mark.parametrize(
    ("tokenizer", "messages", "reason"),
    [
        (made.gemma(), SYSTEM, "System role not supported"),
        (made.llama_2(), USER + USER, "roles must alternate"),
        (made.qwen("{{ 1 + messages[0]['content'] }}"), USER, "unsupported operand"),
        (made.qwen("{% if %}"), USER, "Expected an expression"),
    ],
)
def test_a_template_that_refuses_says_why_in_one_line(tokenizer, messages, reason):
    with pytest.raises(InputError, match=f"chat template refuses the messages .*{reason}") as caught:
        render(messages, "", "chat", tokenizer)
    assert "\n" not in str(caught.value) and "plain or hh" in str(caught.value)


ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (ENDLESS, "takes too long to render"),
        ("{% for i in range(10**9) %}{% endfor %}", "Range too big"),
        ("{{ 'x' * 5_000_000 }}", "makes 5,000,000 characters, not at most 1,0"),
        ("{{ 'x' * 500_000_000 }}", "takes more memory than it may"),
        ("{{ 'x' * 10**10 }}", "takes more memory than it may"),
        ("{{ 'x'.ljust(10**10) }}", "takes more memory than it may"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recursion"),
        ("{{ (" + "(" * 5000 + "1" + ")" * 5000 + ") }}", ""),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
    ],
)
def test_a_template_that_would_take_all_ends_at_a_limit(template, reason):
    with pytest.raises(InputError, match=f"this model: its chat template .*{reason}.*plain or hh$"):
        render(USER, "", "chat", made.qwen(template))
    assert render(USER, "yes", "chat", made.qwen()).response == "yes"


@pytest.mark.parametrize("templates", [{"tool_use": "x"}, ["a", "b"]])
def test_templates_without_one_for_a_conversation_are_refused(templates):
    tokenizer = made.qwen()
    tokenizer.chat_template = templates
    with pytest.raises(InputError, match="no chat template for a plain conversation"):
        render(USER, "", "chat", tokenizer)


def test_hh_knows_three_roles():
    with pytest.raises(InputError, match="hh has no name for the role 'tool'; use user, assistant, system"):
        render([{"role": "tool", "content": "x"}], "", "hh", None)
    assert render(SYSTEM, "", "hh", None).prompt == "\n\nSystem: Be brief.\n\nHuman: Hi\n\nAssistant:"


def test_the_hash_changes_with_what_the_template_writes_and_with_nothing_else():
    tokenizer = made.llama_2()
    chat, plain = template_hash("chat", tokenizer), template_hash("plain", tokenizer)
    assert template_hash("plain", made.bert()) == plain != template_hash("hh", tokenizer)
    tokenizer.pad_token = "</s>"
    assert template_hash("chat", tokenizer) == chat  # the template does not write it
    tokenizer.bos_token = "<unk>"
    assert template_hash("chat", tokenizer) != chat
    assert template_hash("plain", tokenizer) == plain
    qwen = template_hash("chat", made.qwen())
    other = made.qwen()
    other.eos_token = "<|endoftext|>"
    assert template_hash("chat", other) == qwen != template_hash("chat", made.qwen(made.DEFAULT_SYSTEM))
