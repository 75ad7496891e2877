"""Signals, two commands at once, and limits that a machine or a batch system sets."""

from __future__ import annotations

import signal

from siege.base import SMOKE, Ground, case


@case("a second Ctrl-C at once ends it as the first does")
def _(ground: Ground) -> None:
    running = ground.start("run", *SMOKE)
    running.wait_until_it_says("sample: starts")
    running.signal(signal.SIGINT)
    running.signal(signal.SIGINT)
    ended = running.end()
    assert ended.code == 130, ended.tail()
    assert "Traceback" not in ended.text, "it shows a traceback"
    ground.rmlab("run", *SMOKE).fine("report: done")
