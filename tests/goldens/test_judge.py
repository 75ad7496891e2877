from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from rmlab.config.components import build
from rmlab.errors import ConfigError, InputError
from rmlab.goldens.base import Failed, TextScorer
from rmlab.goldens.judge import AnswerLogprobs, Judge
from rmlab.models.bundled.random_tiny import write_random_model
from rmlab.models.compute import Compute
from rmlab.models.oom_retry import AdaptiveBatch
from rmlab.models.text.rendering import Exchange

ASK = "{prompt} / {response} ?"
TEXTS = ["I love this!", "no", "A rather long answer, {prompt} and <eos> and all that.", "ok"]
ROWS = [
    Exchange("p", f"r{i}", [{"role": "user", "content": "How {response}?"}], t) for i, t in enumerate(TEXTS)
]


@pytest.fixture(scope="module")
def bytes_model(tmp_path_factory):
    """A token a byte, so that every answer but a digit has several tokens."""
    folder = tmp_path_factory.mktemp("bytes") / "m"
    write_random_model(folder, seed=5, initializer_range=0.5)  # far from uniform
    return folder


@pytest.fixture(scope="module")
def words_model(tmp_path_factory):
    """Yes and No are one token each."""
    folder = tmp_path_factory.mktemp("words") / "m"
    write_random_model(folder, seed=6, initializer_range=0.5, vocab_size=262)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["Yes", "No", "10"])
    tokenizer.save_pretrained(folder)
    return folder


def asked(exchange):
    return "<user>" + f"How {{response}}? / {exchange.response} ?" + "\n<assistant>"


@cache
def loaded(folder):
    return AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()


def logprob(folder, question, answer):
    """By plain transformers: one text, no padding, log-probabilities of the answer's tokens added up."""
    tokenizer, model = loaded(folder)
    pieces = question.split("<eos>")  # the content's <eos> is text, so it is tokenised in pieces
    before = tokenizer(pieces[0], add_special_tokens=False)["input_ids"]
    for piece in pieces[1:]:
        for text in ("<", "eos>", piece):
            before += tokenizer(text, add_special_tokens=False)["input_ids"]
    ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = model(torch.tensor([before + ids])).logits[0].double().log_softmax(-1)
    return sum(logits[len(before) - 1 + k, token].item() for k, token in enumerate(ids))


@pytest.mark.parametrize("model", ["bytes_model", "words_model"])
def test_yes_against_no_is_what_the_model_gives_each_alone(model, request):
    folder = request.getfixturevalue(model)
    odds = [logprob(folder, asked(e), "Yes") - logprob(folder, asked(e), "No") for e in ROWS]
    found = Judge(str(folder), score="log_odds", question=ASK, batch_size=3).open(Compute())(ROWS)
    assert found == pytest.approx(odds, abs=2e-4)
    assert np.ptp(found) > 0.1
    shares = Judge(str(folder), question=ASK).open(Compute())(ROWS)
    assert shares == pytest.approx(1 / (1 + np.exp(-np.array(odds))), abs=1e-4)


@pytest.mark.parametrize("model", ["bytes_model", "words_model"])
def test_the_expected_grade_tells_one_from_ten(model, request):
    folder = request.getfixturevalue(model)
    found = Judge(str(folder), score="grade", question=ASK, batch_size=2).open(Compute())(ROWS)
    for value, e in zip(found, ROWS):
        p = np.exp([logprob(folder, asked(e), str(k)) for k in range(1, 11)])
        if model == "bytes_model":  # "10" is "1" and then "0"
            p[0] -= p[9]
        assert value == pytest.approx(p @ np.arange(1, 11) / p.sum(), abs=1e-4)
    assert np.ptp(found) > 0.05 and all(1 <= v <= 10 for v in found)


def test_answers_that_begin_others_share_their_probability(bytes_model):
    found = Judge(str(bytes_model), score="log_odds", question=ASK, good="N", bad="No").open(Compute())(
        ROWS[:2]
    )
    for value, e in zip(found, ROWS):
        n, no = (np.exp(logprob(bytes_model, asked(e), a)) for a in ("N", "No"))
        assert value == pytest.approx(np.log(n - no) - np.log(no), abs=1e-3)


class Table:
    """A model whose next token depends on the last one alone, with known probabilities."""

    device = torch.device("cpu")

    def __init__(self, after):
        self.logits = torch.log(torch.tensor(after))

    def __call__(self, input_ids, logits_to_keep, **_):
        return SimpleNamespace(logits=self.logits[input_ids][:, -logits_to_keep:])


def test_the_shares_of_longer_answers_by_hand():
    after = [[0.1, 0.6, 0.2, 0.1], [0.5, 0.3, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25], [0.7, 0.1, 0.1, 0.1]]
    answers = [(1,), (2,), (1, 0), (1, 0, 3)]
    found = AnswerLogprobs(Table(after), 0, answers, AdaptiveBatch(2, ""))([[2, 0], [3, 3, 0], [0, 2]])
    first = [0.6, 0.6, 0.25]  # of token 1 after the question
    for row, p, q in zip(np.exp(found), first, [0.2, 0.2, 0.25]):
        assert row == pytest.approx([p * 0.5, q, p * 0.5 * 0.9, p * 0.5 * 0.1], rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_absolute_positions_do_not_count_the_padding(tmp_path, batch_size):
    write_random_model(tmp_path / "m", seed=5)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "m")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = GPT2Config(
            vocab_size=len(tokenizer), n_positions=512, n_embd=32, n_layer=2, n_head=4,
            initializer_range=0.5, bos_token_id=1, eos_token_id=2,
        )  # fmt: skip
        GPT2LMHeadModel(config).save_pretrained(tmp_path / "g")
    tokenizer.save_pretrained(tmp_path / "g")
    odds = [logprob(tmp_path / "g", asked(e), "Yes") - logprob(tmp_path / "g", asked(e), "No") for e in ROWS]
    judge = Judge(str(tmp_path / "g"), score="log_odds", question=ASK, batch_size=batch_size)
    assert judge.open(Compute())(ROWS) == pytest.approx(odds, abs=1e-3)


def test_one_pass_where_answers_allow_it(words_model, bytes_model, monkeypatch):
    passes = []
    forward = AnswerLogprobs._forward
    monkeypatch.setattr(
        AnswerLogprobs, "_forward", lambda self, rows, keep: passes.append(keep) or forward(self, rows, keep)
    )
    Judge(str(words_model), question=ASK).open(Compute())(ROWS)
    assert passes == [1]
    passes.clear()
    Judge(str(bytes_model), score="grade", question=ASK).open(Compute())(ROWS)
    assert passes == [2]


def test_batches_of_any_size_agree_and_order_is_kept(bytes_model):
    one, many = (Judge(str(bytes_model), question=ASK, batch_size=b).open(Compute())(ROWS) for b in (1, 4))
    assert one == pytest.approx(many, abs=1e-5)


def test_the_template_is_named_and_nothing_is_cut(bytes_model):
    scorer = Judge(str(bytes_model)).open(Compute())
    assert isinstance(scorer, TextScorer)
    scorer(ROWS)
    plain = Judge(str(bytes_model), template="plain").open(Compute())
    assert scorer.template_hash != plain.template_hash and not scorer.counts


def test_a_question_too_long_fails_its_row_alone(bytes_model):
    long = Exchange("p", "long", ROWS[0].messages, "x" * 600)
    found = Judge(str(bytes_model), question=ASK).open(Compute())([ROWS[0], long, ROWS[1]])
    assert isinstance(found[1], Failed) and "more than the 510 that fit" in found[1].reason
    alone = Judge(str(bytes_model), question=ASK).open(Compute())([ROWS[0], ROWS[1]])
    assert [found[0], found[2]] == pytest.approx(alone, abs=1e-5)
    assert isinstance(Judge(str(bytes_model), question=ASK).open(Compute())([long])[0], Failed)


def test_the_question_shows_prompt_and_response_as_they_are():
    messages = [{"role": "user", "content": "A {response}"}, {"role": "assistant", "content": "B"},
                {"role": "user", "content": "C"}]  # fmt: skip
    shown = Judge("m", question="{prompt}|{response}|{good}{bad}{grades}{else}").ask(
        Exchange("p", "r", messages, "{bad}")
    )
    assert shown == "User: A {response}\n\nAssistant: B\n\nUser: C|{bad}|YesNo10{else}"
    own = Judge("m", score="grade", grades=5).ask(ROWS[0])
    assert "How {response}?" in own and "I love this!" in own and "from 1 (poor) to 5 (excellent)" in own


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grades": 1}, "use at least 2"),
        ({"question": "Good?"}, "question does not show the response"),
        ({"score": "rank"}, "golden.judge.score"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_wrong_settings_are_one_line(options, message):
    with pytest.raises(ConfigError, match=message):
        build({"_target_": "rmlab.goldens.judge.Judge", "model": "m", **options}, where="golden.judge")


@pytest.mark.parametrize(
    ("options", "message"), [({"good": "No"}, "the same tokens"), ({"bad": ""}, "has no tokens")]
)
def test_answers_that_cannot_be_told_apart_are_refused(bytes_model, options, message):
    with pytest.raises(InputError, match=message):
        Judge(str(bytes_model), question=ASK, **options).open(Compute())
