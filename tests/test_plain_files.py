"""Small files of text and JSON: within bounds, or a ValueError that says why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmlab.storage import files as plain_files
from rmlab.storage.files import DEEPEST, parse_json, read_plain_text


def test_nesting_has_a_bound():
    assert parse_json("[" * DEEPEST + "]" * DEEPEST)
    assert parse_json('[{"a": [1, 2]}, "' + "[" * 1000 + '"]')[1] == "[" * 1000
    for levels in (DEEPEST + 2, 900, 100_000):
        with pytest.raises(ValueError, match="nested more than"):
            parse_json("[" * levels + "]" * levels)
        with pytest.raises(ValueError, match="nested more than"):
            parse_json('{"a":' * levels + "1" + "}" * levels)


def test_a_device_is_not_waited_for(tmp_path):
    (tmp_path / "zero").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="no plain file"):
        read_plain_text(tmp_path / "zero")


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(plain_files, "LARGEST", 3)
    Path(tmp_path / "a").write_text("abcd")
    with pytest.raises(ValueError, match="4 bytes, more than 3"):
        read_plain_text(tmp_path / "a")
