import pytest

from rmlab.errors import InputError
from rmlab.goldens.base import Failed
from rmlab.models.text.rendering import Exchange
from rmlab.stages.annotate import score_rows

ROWS = [Exchange("p", f"r{i}", [], text) for i, text in enumerate(["1", "two", "3", "nan", "-inf"])]


def test_scores_stay_and_the_rest_says_why():
    found = score_rows(lambda rows: [float(e.response) for e in rows], ROWS, "x")
    assert found[0] == 1 and found[2] == 3
    assert found[1].reason == "ValueError: could not convert string to float: 'two'"
    assert [f.reason for f in found[3:]] == ["the reward is nan", "the reward is -inf"]


def test_a_good_chunk_is_scored_in_one_call():
    calls = []
    assert score_rows(lambda rows: calls.append(len(rows)) or [0.5] * len(rows), ROWS, "x") == [0.5] * 5
    assert calls == [5]


def test_a_reason_is_one_line_of_at_most_200_characters():
    def scorer(rows):
        raise (
            KeyError("\n\n" + "y" * 400 + "\nmore")
            if len(rows) > 1
            else RuntimeError("\n\nfirst " + "z" * 400 + "\nmore")
        )

    for failed in score_rows(scorer, ROWS, "x"):
        assert (
            failed.reason.startswith("RuntimeError:")
            and len(failed.reason) <= 200
            and "\n" not in failed.reason
        )
    assert score_rows(lambda rows: [Failed("\n a\nb")] * len(rows), ROWS[:1], "x") == [Failed("a")]


class OutOfMemoryError(RuntimeError):
    """As torch calls it."""


@pytest.mark.parametrize("error", [InputError("x"), MemoryError(), OutOfMemoryError(), KeyboardInterrupt()])
def test_what_is_not_of_a_row_is_raised_at_once(error):
    calls = []

    def scorer(rows):
        calls.append(len(rows))
        raise error

    with pytest.raises(type(error)):
        score_rows(scorer, ROWS, "x")
    assert calls == [5]
