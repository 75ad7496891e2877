"""Signals, and two commands at once, at places where no fault of `make faults` strikes."""

from __future__ import annotations

import signal

from siege.base import RMLAB, SMOKE, Ground, case


@case("a second Ctrl-C at once ends it as the first does")
def _(ground: Ground) -> None:
    running = ground.start("run", *SMOKE)
    running.wait_until_it_says("sample: starts")
    running.signal(signal.SIGINT)
    running.signal(signal.SIGINT)
    running.end().refused(130, "interrupted")
    ground.rmlab("sample", *SMOKE).fine()


@case("Ctrl-C while it still starts leaves nothing", quick=False)
def _(ground: Ground) -> None:
    for seconds in (0.2, 1.0, 2.0):
        running = ground.start("run", *SMOKE)
        running.wait_for_exit(seconds)
        running.signal(signal.SIGTERM)
        ended = running.end()
        assert ended.code in (130, -signal.SIGTERM), (
            ended.tail()
        )  # Python itself may not have begun to listen
        assert "Traceback" not in ended.text, f"it shows a traceback after {seconds} s"
    assert not list(ground.folder.rglob("manifest.json")), "something was taken for whole"
    ground.rmlab("sample", *SMOKE).fine()


@case("a stop and a continue change nothing", quick=False)
def _(ground: Ground) -> None:
    running = ground.start("sample", *SMOKE)
    running.wait_until_it_says("sample: starts")
    running.signal(signal.SIGSTOP)
    running.wait_for_exit(1.0)
    running.signal(signal.SIGCONT)
    running.end().fine()
    ground.rmlab("verify", "all").fine("2 whole")


@case("two runs at once: each part is made whole, and by one of them")
def _(ground: Ground) -> None:
    both = [ground.start("run", *SMOKE) for _ in range(2)]
    ends = [running.end() for running in both]
    for ended in ends:
        if ended.code:
            ended.refused(1, "another rmlab process")
    assert any(ended.code == 0 for ended in ends), ends[0].tail()
    ground.rmlab("verify", "all").fine()
    ground.rmlab("run", *SMOKE).fine()


@case("looking at what is being made, and at what is being removed", quick=False)
def _(ground: Ground) -> None:
    running = ground.start("run", *SMOKE)
    running.wait_until_it_says("sample: starts")
    ground.rmlab("status", *SMOKE).fine()
    assert ground.rmlab("verify", "all").plain().code in (0, 3)
    running.end().fine()
    ground.rmlab("status", *SMOKE).fine()


@case("nobody reads what is printed")
def _(ground: Ground) -> None:
    for command in ground.some(("status experiment=smoke", "doctor", "--help")):
        ended = ground.start("-c", f"{RMLAB} {command} | head -c 0", program=["bash"]).end()
        assert "Traceback" not in ended.text and "BrokenPipe" not in ended.text, (
            f"{command}: {ended.text[-300:]}"
        )


@case("closed standard streams are no files of the run", quick=False)
def _(ground: Ground) -> None:
    closed = f"{RMLAB} sample {' '.join(SMOKE)} <&- >&- 2>&-"
    ended = ground.start("-c", closed, program=["bash"]).end()
    assert ended.code == 0 and not ended.text, ended.tail()
    ground.rmlab("verify", "all").fine("2 whole")
