"""Which process this is among those of all machines, and which others have ended."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from rmlab import machine


def ended() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid


def test_only_a_process_of_this_system_is_known_to_have_ended():
    here = machine.this_process()
    assert not machine.has_ended(here) and not machine.has_ended(here | {"process": os.getppid()})
    assert machine.has_ended(here | {"process": ended()})
    for other in ({"host": "elsewhere"}, {"system": "another container"}):
        assert not machine.has_ended(here | {"process": ended()} | other)
    for odd in (None, "1", -1, 0, True, 1.5):
        assert not machine.has_ended(here | {"process": odd})
    assert not machine.has_ended({})


@pytest.mark.parametrize(
    "names", [("a", "b"), ("a.x", "a-x"), ("n" * 40 + "1", "n" * 40 + "2"), ("", "é/\n")]
)
def test_machines_of_other_names_have_other_labels(names, monkeypatch):
    found = set()
    for name in names:
        machine._host_label.cache_clear()
        monkeypatch.setattr(platform, "node", lambda name=name: name)
        found.add(machine.label())
    machine._host_label.cache_clear()
    assert len(found) == 2
    assert all(set(one) <= set("abcdefghijklmnopqrstuvwxyz-.0123456789") and len(one) < 40 for one in found)
