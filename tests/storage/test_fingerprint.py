import math
from pathlib import Path

import pytest

from rmlab.storage.digest import canonical, file_digest, fingerprint, folder_digest, row_id


def test_the_order_of_keys_does_not_matter_but_values_do():
    assert fingerprint("s", 1, {"a": 1, "b": 2}, {}) == fingerprint("s", 1, {"b": 2, "a": 1}, {})
    assert fingerprint("s", 1, {"a": 1}, {}) != fingerprint("s", 1, {"a": 2}, {})
    assert fingerprint("s", 1, {"a": 1}, {}) != fingerprint("s", 2, {"a": 1}, {})
    assert fingerprint("s", 1, {}, {"x": "1"}) != fingerprint("s", 1, {"x": "1"}, {})


def test_fingerprints_stay_what_they_were():
    found = fingerprint("sample", 1, {"n": 10, "top_p": 0.95, "stop": ["\n"], "x": None}, {"prompts": "ab"})
    assert found == "9191588c98cc5d1af6194a9e5bf9680e3900e801b7afdaa7192af82326f92085"
    assert row_id("ab", "p1", 3) == "3661c4eef17ac8699bfb68b3"


@pytest.mark.parametrize("value", [math.nan, math.inf, {1: 2}, {"a": object()}, [Path()], {"a": {1, 2}}])
def test_a_value_without_stable_identity_is_refused(value):
    with pytest.raises(TypeError):
        canonical(value)


def test_rows_are_told_apart_by_their_parts():
    assert row_id("a", "bc") != row_id("ab", "c")
    assert row_id("1") != row_id(1)


def test_a_folder_is_its_visible_files(tmp_path):
    (tmp_path / "a").write_text("1")
    before = folder_digest(tmp_path)
    (tmp_path / ".cache").write_text("x")
    assert folder_digest(tmp_path) == before
    (tmp_path / "b").write_text("1")
    assert folder_digest(tmp_path) != before
    assert file_digest(tmp_path / "a") == file_digest(tmp_path / "b")
