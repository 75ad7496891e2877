import time

import pytest

from rmlab.errors import InputError
from rmlab.goldens.words import Offensive
from rmlab.models.compute import Compute
from rmlab.models.text.rendering import Exchange
from rmlab.paths import user_path


def scores(texts, **options):
    rows = [Exchange("p", f"r{i}", [{"role": "user", "content": "?"}], t) for i, t in enumerate(texts)]
    return list(Offensive(**options).open(Compute())(rows))


def test_higher_is_less_offensive_by_the_share_of_words():
    found = scores(["What a lovely day", "You idiot", "Shit, you fucking idiot", "", "idiot"])
    assert found == [0, -1 / 2, -3 / 4, 0, -1]
    assert scores(["What a lovely day", "You idiot", "Shit, you fucking idiot"], unit="count") == [0, -1, -3]


@pytest.mark.parametrize(
    "text", ["SHIT", "sh1t", "sh!t", "$hit", "shiiit", "sh*t", "f**k", "fvck", "**shit**", "idiot_", "son-of-a-bitch",
             "son of a bitch", "motherfuckers", "mother-fucker"],
)  # fmt: skip
def test_disguises_are_seen_through(text):
    assert scores([text], unit="count") == [-1]


def test_harmless_words_that_hold_or_resemble_bad_ones_are_let_be():
    harmless = """Scunthorpe assassin class glass cumulative shiitake Shiite shitake Milford niggardly 455 A55 a4$
    5hi7 cocktail Dickens retardant bass pass titanic essex document analyse therapist peacock as*s sum*mer
    gay lesbian Black Jewish breast sex virgin stroke organ Maine coon armour chink dyke fire-retardant"""
    assert scores(harmless.split(), unit="count") == [0] * len(harmless.split())


def test_every_entry_of_the_shipped_list_is_found_alone_and_in_a_text():
    lines = user_path("shipped:words/offensive.txt").read_text(encoding="utf-8").splitlines()
    entries = [line.removesuffix("*") for line in lines if line and not line.startswith("#")]
    assert len(entries) > 100 and len(set(entries)) == len(entries)
    assert scores([f"well, {e}!" for e in entries], unit="count") == [-1] * len(entries)


def test_a_list_of_one_s_own(tmp_path):
    (tmp_path / "w.txt").write_text("# mild ones\ndarn  # as in socks\nheck*\n\nc++\n")
    path = str(tmp_path / "w.txt")
    assert scores(["darn darning heckish shit c++"], words=path, unit="count") == [-3]


@pytest.mark.parametrize("content", ["", "# nothing\n*\n"])
def test_an_empty_list_is_one_line(tmp_path, content):
    (tmp_path / "w.txt").write_text(content)
    with pytest.raises(InputError, match="has no words; put one on each line"):
        Offensive(words=str(tmp_path / "w.txt")).open(Compute())


def test_no_text_makes_it_search_for_ever():
    scorer = Offensive().open(Compute())
    started = time.process_time()
    for text in (
        "s" * 20_000,
        "sh" + "i" * 20_000,
        "a55" * 5_000,
        "fu " * 5_000,
        "*" * 20_000,
        "son of a " * 3_000,
    ):
        scorer([Exchange("p", "r", [], text)])
    assert time.process_time() - started < 10
