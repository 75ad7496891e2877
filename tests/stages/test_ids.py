import numpy as np
import pyarrow as pa
import pytest

from rmlab.errors import InputError
from rmlab.responses.ids import HEX, OBJECT, Ids, check_unique
from rmlab.storage.digest import row_id

FORMS = {
    "own": [row_id("p", k) for k in range(500)],
    "plain": [f"train-{k * 7919 % 500}-é" for k in range(500)],
    "long": ["x" * 100 + f"{k * 7919 % 500}" for k in range(500)],
    "with a zero byte": [f"{k}\0" for k in range(500)],
    "of 24 others": [f"{k:024d}"[:-1] + "g" for k in range(0, 5000, 10)],
    "upper case": [row_id("p", k).upper() for k in range(500)],
}


@pytest.mark.parametrize("name", FORMS)
def test_ids_come_back_in_the_order_of_their_text_and_are_found(name):
    text = FORMS[name]
    parts = [pa.array(text[:200]), pa.array(text[200:])]
    ids = Ids.of(lambda: parts, 500)
    order = ids.order()
    assert list(ids[:]) == text and ids[order].tolist() == sorted(text)
    assert ids.take(order).text(np.arange(3)).to_pylist() == sorted(text)[:3]
    rng = np.random.default_rng(0)
    asked = rng.permutation(500)[:60]
    others = ["", "0" * 24, "f" * 24, "nobody", "y" * 200, "0\0", text[0] + "\0", text[0][:-1]]
    expected = [*asked, *(text.index(o) if o in text else -1 for o in others)]
    for held in (ids, ids.take(order)):
        found = held.find(pa.array([*(text[k] for k in asked), *others]))
        place = np.arange(500) if held is ids else np.argsort(order)
        assert found.tolist() == [int(place[k]) if k >= 0 else -1 for k in expected]


def test_own_ids_take_twelve_bytes_and_others_no_more_than_they_must():
    form = {name: Ids.of_array(np.array(text, object)) for name, text in FORMS.items()}
    assert form["own"].form == HEX and form["own"].keys.itemsize == 12
    assert form["plain"].keys.itemsize == max(len(t.encode()) for t in FORMS["plain"])
    assert form["long"].form == form["with a zero byte"].form == OBJECT
    assert form["of 24 others"].keys.itemsize == form["upper case"].keys.itemsize == 24


def test_an_id_that_stands_twice_is_an_error(monkeypatch):
    ids = Ids.of_array(np.array(["b", "c", "a", "b"], object))
    with pytest.raises(InputError, match="^here: response ids repeat"):
        check_unique(ids, ids.order(), "here")
    once = ids.take(np.arange(3))
    check_unique(once, once.order(), "here")


def test_no_id_at_all():
    ids = Ids.of(list, 0)
    assert len(ids) == 0 and ids.find(pa.array(["a"])).tolist() == [-1]
