"""Digests of large inputs are kept, and not trusted once the file has changed."""

from __future__ import annotations

import os

import pytest

from rmlab.storage import integrity as digests
from rmlab.storage.digest import file_digest, folder_digest


@pytest.fixture(autouse=True)
def small_is_large(tmp_path, monkeypatch):
    monkeypatch.setenv("RMLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "LARGE", 1)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_computed_once_until_it_changes(kind, tmp_path, monkeypatch):
    place = tmp_path / "data"
    place.mkdir()
    (place / "a.bin").write_bytes(b"one")
    target = place / "a.bin" if kind == "file" else place
    cached, plain = {
        "file": (digests.file_digest_of, file_digest),
        "folder": (digests.folder_digest_of, folder_digest),
    }[kind]
    expected = plain(target)
    assert cached(target) == expected
    with monkeypatch.context() as m:
        m.setattr(digests, "file_digest", lambda path: pytest.fail("computed again"))
        assert cached(target) == expected
        digests._known.clear()  # as in another process
        assert cached(target) == expected
    (place / "a.bin").write_bytes(b"two")
    os.utime(place / "a.bin", ns=(0, 0))
    assert cached(target) == plain(target) != expected


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b"{}", b'{"stamp": [], "digest": "0"}', b"\xff"])
def test_a_record_that_cannot_be_read_is_written_again(junk, tmp_path):
    file = tmp_path / "a.bin"
    file.write_bytes(b"one")
    expected = digests.file_digest_of(file)
    [record] = (tmp_path / "cache" / "digests").iterdir()
    whole = record.read_bytes()
    record.write_bytes(junk)
    digests._known.clear()
    assert digests.file_digest_of(file) == expected
    assert record.read_bytes() == whole


def test_rot_in_a_record_is_no_other_digest(tmp_path):
    file = tmp_path / "a.bin"
    file.write_bytes(b"one")
    expected = digests.file_digest_of(file)
    [record] = (tmp_path / "cache" / "digests").iterdir()
    record.write_text(record.read_text().replace(expected, expected[::-1]))
    digests._known.clear()
    assert digests.file_digest_of(file) == expected


def test_without_a_cache_it_is_computed_each_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("RMLAB_CACHE", str(tmp_path / "file"))
    (tmp_path / "a.bin").write_bytes(b"one")
    assert digests.file_digest_of(tmp_path / "a.bin") == file_digest(tmp_path / "a.bin")


@pytest.mark.parametrize("large", [1, 2**26])
def test_a_changed_byte_with_the_time_put_back_is_another_digest(large, tmp_path, monkeypatch):
    monkeypatch.setattr(digests, "LARGE", large)
    (tmp_path / "m").mkdir()
    file = tmp_path / "m" / "a.bin"
    file.write_bytes(b"one")
    seen = file.stat()
    before = digests.folder_digest_of(tmp_path / "m")
    file.write_bytes(b"two")
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    digests._known.clear()
    assert digests.folder_digest_of(tmp_path / "m") == folder_digest(tmp_path / "m") != before


def test_what_is_forgotten_is_read_again_though_nothing_shows_a_change(tmp_path, monkeypatch):
    file = tmp_path / "a.bin"
    file.write_bytes(b"one")
    monkeypatch.setattr(digests, "_stamp", lambda file: [1])
    before = digests.file_digest_of(file)
    file.write_bytes(b"two")
    assert digests.file_digest_of(file) == before
    digests.forget(file)
    assert digests.file_digest_of(file) == file_digest(file) != before
