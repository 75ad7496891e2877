"""Errors of libraries that tell of a full disk in words of their own."""

from __future__ import annotations

import errno

import pytest
from safetensors import SafetensorError

from rmlab.sft.checkpoints import as_os_error


def test_a_full_disk_is_told_as_the_system_does():
    with pytest.raises(OSError, match="No space left") as raised, as_os_error():
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert raised.value.errno == errno.ENOSPC
    with pytest.raises(OSError, match="checkpoint") as raised, as_os_error():
        raise RuntimeError("[enforce fail at inline_container.cc:626] . unexpected pos 64 vs 0")
    assert raised.value.errno == errno.EIO


def test_other_errors_stay_what_they_are():
    for error in (SafetensorError("no tensors"), FileNotFoundError(2, "x"), ZeroDivisionError()):
        with pytest.raises(type(error)) as raised, as_os_error():
            raise error
        assert raised.value is error
