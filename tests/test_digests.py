"""Digests of large inputs are kept, and not trusted once the file has changed."""

from __future__ import annotations

import os

import pytest

from rmlab import digests
from rmlab.artifacts.fingerprint import file_digest, folder_digest


@pytest.fixture(autouse=True)
def small_is_large(tmp_path, monkeypatch):
    monkeypatch.setenv("RMLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "_LARGE", 1)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_computed_once_until_it_changes(kind, tmp_path, monkeypatch):
    place = tmp_path / "data"
    place.mkdir()
    (place / "a.bin").write_bytes(b"one")
    target = place / "a.bin" if kind == "file" else place
    cached, plain = {
        "file": (digests.cached_file_digest, file_digest),
        "folder": (digests.cached_folder_digest, folder_digest),
    }[kind]
    expected = plain(target)
    assert cached(target) == expected
    with monkeypatch.context() as m:
        m.setattr(digests, f"{kind}_digest", lambda path: pytest.fail("computed again"))
        assert cached(target) == expected
    (place / "a.bin").write_bytes(b"two")
    os.utime(place / "a.bin", ns=(0, 0))
    assert cached(target) == plain(target) != expected
