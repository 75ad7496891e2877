import json

import pytest

from rmlab.config.components import build
from rmlab.errors import ConfigError
from rmlab.goldens.form import Format, Length
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange


def scores(golden, texts):
    rows = [Exchange("p", f"r{i}", [{"role": "user", "content": "?"}], t) for i, t in enumerate(texts)]
    return list(golden.open(Compute())(rows))


@pytest.mark.parametrize(
    ("golden", "expected"),
    [
        (Length(), [2, 0, 3]),
        (Length("characters"), [7, 0, 8]),
        (Length(target=2), [0, -2, -1]),
        (Length("characters", target=7), [0, -7, -1]),
        (Length(target=0), [-2, 0, -3]),
    ],
)
def test_length_in_a_unit_or_as_the_distance_from_a_target(golden, expected):
    assert scores(golden, ["one two", "", "a b\n\tcée"]) == expected


@pytest.mark.parametrize(
    ("golden", "texts", "expected"),
    [
        (Format("search", r"[.!?]\s*$"), ["Done.", "Done. \n", "Not. done", ""], [1, 1, 0, 0]),
        (Format("fullmatch", r"(\S+\s*){0,3}"), ["a b c", " a b c \n", "a b c d", ""], [1, 1, 0, 1]),
        (Format("fullmatch", "yes"), ["yes", " yes\n", "yes!", "oh yes"], [1, 1, 0, 0]),
        (Format("count", r"(?m)^\s*[-*] "), ["- a\n* b\n  - c", "a - b", ""], [3, 0, 0]),
        (Format("count", "aa"), ["aaaaa"], [2]),
        (Format("json"), ['{"a": [1]}', " 3\n", "{'a': 1}", "", "NaN", "[" * 10**5], [1, 1, 0, 0, 0, 0]),
    ],
)
def test_forms(golden, texts, expected):
    assert scores(golden, texts) == expected


@pytest.mark.parametrize(
    ("component", "message"),
    [
        ({"kind": "search"}, "kind=search needs a pattern"),
        ({"kind": "json", "pattern": "a"}, "kind=json has no pattern"),
        ({"kind": "count", "pattern": "("}, "no regular expression"),
        ({"kind": "find", "pattern": "a"}, "golden.format.kind"),
    ],
)
def test_a_wrong_form_is_one_line(component, message):
    with pytest.raises(ConfigError, match=message) as error:
        build({"_target_": "rmlab.goldens.form.Format", **component}, where="golden.format")
    assert "\n" not in str(error.value)


def test_a_target_below_zero_is_refused():
    with pytest.raises(ConfigError, match="target is -1"):
        build(json.loads('{"_target_": "rmlab.goldens.form.Length", "target": -1}'))
