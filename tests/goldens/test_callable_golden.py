import sys

import pytest

from rmlab.errors import InputError
from rmlab.goldens.callable import Callable
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange
from rmlab.stages.annotate import score_rows

MODULE = """
def positional(asked, answers): return [len(a) + len(b) / 100 for a, b in zip(asked, answers)]
def named(responses, prompts): return positional(prompts, responses)
def trl(completions, **kwargs): return positional(kwargs["prompts"], completions)
def short(completions): return [float(len(c)) for c in completions]
def chat(prompts, completions, **kwargs):
    return [len(p[-1]["content"]) + len(c[0]["content"]) / 100 for p, c in zip(prompts, completions)]
def picky(prompts, responses): return [1 / (len(r) - 2) for r in responses]
def absent(prompts, responses): return [None if r == "ok" else 1 for r in responses]
def few(prompts, responses): return [1.0]
def needy(completions, solution): return [0.0] * len(completions)
def three(a, b, c): return []
def one(a): return []
async def later(prompts, responses): return []
class Kind: pass
number = 3
"""
ROWS = [
    Exchange("p", "r0", [{"role": "user", "content": "Well?"}], "I do"),
    Exchange("p", "r1", [{"role": "user", "content": "Well?"}], "ok"),
    Exchange("q", "r2", [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}], ""),
]


@pytest.fixture(autouse=True)
def mine(tmp_path, monkeypatch):
    (tmp_path / "mine_rewards.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mine_rewards", raising=False)
    yield
    sys.modules.pop("mine_rewards", None)


def scores(name, **options):
    return list(Callable(f"mine_rewards.{name}", **options).open(Compute())(ROWS))


@pytest.mark.parametrize("name", ["positional", "named", "trl"])
def test_a_function_is_called_by_the_names_it_has(name):
    assert scores(name) == pytest.approx([5.04, 5.02, len("User: A\n\nAssistant: B")])


def test_it_may_take_the_responses_alone_or_messages():
    assert scores("short") == [4, 2, 0]
    assert scores("chat", conversational=True) == pytest.approx([5.04, 5.02, 1.0])


def test_a_row_that_raises_or_has_no_score_fails_alone():
    scorer = Callable("mine_rewards.picky").open(Compute())
    good, bad, last = score_rows(scorer, ROWS, "x")
    assert (good, last) == (0.5, -0.5) and bad.reason == "ZeroDivisionError: division by zero"
    found = score_rows(Callable("mine_rewards.absent").open(Compute()), ROWS, "x")
    assert found[0] == found[2] == 1 and found[1].reason == "the reward is None, not a number"


def test_the_wrong_number_of_scores_is_an_error():
    with pytest.raises(InputError, match="golden reward x gave 1 scores for 3 responses"):
        score_rows(Callable("mine_rewards.few").open(Compute()), ROWS, "x")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("needy", "requires solution, but gets only"),
        ("three", "must take two arguments"),
        ("one", "must take two arguments"),
        ("later", "not a plain function"),
        ("Kind", "not a plain function"),
        ("number", "not a plain function"),
        ("nothing", "cannot import mine_rewards.nothing"),
    ],
)
def test_what_cannot_be_called_is_one_line(name, message):
    with pytest.raises(Exception, match=message) as error:
        scores(name)
    assert "\n" not in str(error.value)
