import json

import pytest

from rmlab.logs.records import LONGEST, line, message_of, trace_of


@pytest.mark.parametrize(
    "text", ['a\n{"level": "error", "event": "forged"}', "\udc80\ud800", "\u2028\u2029\x85\r\0\x1b", "漢字 🧿", '"}\\']
)  # fmt: skip
def test_no_text_forges_a_line(text):
    record = line("said", "info", {"text": text, text: 1})
    assert record.endswith(b"\n") and len(record.decode("ascii").splitlines()) == 1
    found = json.loads(record)
    assert found["event"] == "said" and found["text"] == text and found[text] == 1


class Hostile:
    def __str__(self):
        raise KeyError("no text")

    def __repr__(self):
        return "hostile"


@pytest.mark.parametrize("value", [float("nan"), {("a", 1): 2}, "x" * (LONGEST + 1), "\U0001f9ff" * LONGEST])
def test_what_json_cannot_tell_is_cut_to_a_line_of_json(value):
    record = line("said", "info", {"text": value})
    found = json.loads(record)
    assert found["event"] == "said" and "text" in found["cut"] and len(record) <= LONGEST


def test_a_value_within_itself_is_a_line_too():
    loop = []
    loop.append(loop)
    assert json.loads(line("said", "info", {"loop": loop}))["cut"] == "{'loop': [[...]]}"


def test_the_trace_tells_of_causes_that_the_message_hides():
    with pytest.raises(ValueError) as caught:
        try:
            raise KeyError("inner")
        except KeyError:
            raise ValueError("outer") from None
    trace = trace_of(caught.value)
    assert trace.index("ValueError: outer") < trace.index("KeyError: 'inner'")
    assert 'raise KeyError("inner")' in trace


def test_an_error_without_a_message_has_a_trace():
    error = ValueError(Hostile())
    assert message_of(error) == "(its message cannot be made)"
    assert "ValueError" in trace_of(error)


def test_errors_that_name_each_other_end():
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert trace_of(one).count("ValueError: one") == 1
