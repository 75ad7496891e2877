import pytest

from rmlab.config.components import build
from rmlab.errors import ConfigError
from rmlab.goldens.words import Descriptiveness
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange


def scores(texts, **options):
    rows = [Exchange("p", f"r{i}", [{"role": "user", "content": "?"}], t) for i, t in enumerate(texts)]
    return list(Descriptiveness(**options).open(Compute())(rows))


@pytest.mark.parametrize(
    ("text", "modifiers", "words"),
    [
        ("The old red house slowly crumbled.", 3, 6),  # old, red, slowly
        ("The dog ate the bone.", 0, 5),
        ("She did not see it.", 0, 5),  # not is no description
        ("She doesn't see it!", 0, 5),  # does and n't
        ("A very beautiful, quiet and strangely warm evening in the small town", 6, 12),
        ("", 0, 0),
        ("...!?", 0, 0),
    ],
)  # fmt: skip
def test_by_hand(text, modifiers, words):
    assert scores([text], min_words=1) == [modifiers / max(words, 1)]
    assert scores([text]) == [modifiers / max(words, 10)]


def test_more_description_scores_higher_and_short_praise_does_not_win():
    plain, rich, short = scores(
        [
            "A man walked into a house and sat on a chair near the fire for an hour.",
            "A tired old man slowly walked into a dark house and sat on a broken chair near the warm fire.",
            "Great!",
        ]
    )
    assert plain < 0.1 and short <= 0.1 and rich >= 0.2


def test_min_words_is_at_least_one():
    with pytest.raises(ConfigError, match="min_words is 0"):
        build({"_target_": "rmlab.goldens.words.Descriptiveness", "min_words": 0})
