"""Storage that several machines or users share: without locks, without permission, small, or copied in part."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

from siege.base import SMOKE, Cannot, Ground, case
from siege.command import Ended, Running
from siege.disks import loop_disk, memory_disk

_NOBODY = 65534

# A file system that refuses locks; the folder for temporary files of the machine itself has them.
_WITHOUT_LOCKS = """
import errno, fcntl, sys
from pathlib import Path
real = fcntl.flock
def flock(file, how):
    number = file if isinstance(file, int) else file.fileno()
    if "/rmlab-" not in str(Path(f"/proc/self/fd/{number}").readlink()):
        raise OSError(errno.ENOLCK, "No locks available")
    return real(file, how)
fcntl.flock = flock
sys.argv[0] = "rmlab"
from rmlab.cli import main
main()
"""

# All that the commands need is imported while the interpreter's own files can be read.
_AS_NOBODY = f"""
import contextlib, os, sys
import rmlab.commands.verify
from rmlab.cli import app, main
from rmlab.commands.guard import guarded
asked, sys.argv = sys.argv, ["rmlab", "status", "out=nowhere", *{SMOKE!r}]
with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
    guarded(app)
sys.argv = ["rmlab", *asked[1:]]
os.setgroups([]); os.setgid({_NOBODY}); os.setuid({_NOBODY})
main()
"""


def _without_locks(ground: Ground, *words: str) -> Running:
    import sys

    return ground.start("-c", _WITHOUT_LOCKS, *words, program=[sys.executable])


@case("on a file system without locks one of two runs works, and the other says so")
def _(ground: Ground) -> None:
    first = _without_locks(ground, "run", *SMOKE)
    held = first.wait_for_file("artifacts/*/.*.rmlab-held", ground.folder)
    second = _without_locks(ground, "run", *SMOKE).end()
    first.end().fine("report: done")
    if second.code:  # it may have come to a stage when the first had left it
        second.refused(1, "no locks", "rmlab-held", "if that has ended, remove it")
    assert not held.exists(), "the file that names the holder stays"
    ground.rmlab("verify", "all").fine("whole")


@case("on a file system without locks the same command goes on after a kill")
def _(ground: Ground) -> None:
    first = _without_locks(ground, "run", *SMOKE)
    first.wait_for_file("artifacts/*/.*.rmlab-held", ground.folder)
    first.signal(signal.SIGKILL)
    first.end()
    assert list(ground.folder.glob("artifacts/*/.*.rmlab-held")), "it left no file that names it"
    _without_locks(ground, "run", *SMOKE).end().fine("report: done")
    assert not list(ground.folder.glob("artifacts/*/.*.rmlab-held")), "what was left is left again"


@case("what a machine elsewhere may hold is waited for by nobody, and named")
def _(ground: Ground) -> None:
    ground.smoke()
    prompts = ground.artifact("prompts")
    left = prompts.with_name(f".{prompts.name}.rmlab-held")
    left.write_text(json.dumps({"host": "elsewhere", "system": "another", "process": 1}))
    ended = _without_locks(ground, "run", "--force", *SMOKE).end()
    ended.refused(1, "another rmlab process is writing", "process 1 of elsewhere", left.name)
    ground.rmlab("verify", "all").fine("whole")


def _as_nobody(ground: Ground, *words: str) -> Ended:
    if os.geteuid() != 0:
        raise Cannot("only root can start a process of another user")
    if any(not folder.stat().st_mode & 0o001 for folder in Path(__file__).parents):
        raise Cannot("rmlab lies in a folder that other users may not enter")
    for folder in (ground.folder, *ground.folder.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o055)
    return ground.python(_AS_NOBODY, *words, env={"RMLAB_CACHE": str(ground.folder / "cache"), "HOME": "/"})


@case("an artifact of another user is a row of verify and of status, and hides no other")
def _(ground: Ground) -> None:
    ground.smoke()
    sample, embed = ground.artifact("sample"), ground.artifact("embed")
    sample.chmod(0o700)
    (embed / "manifest.json").chmod(0o600)
    verified = _as_nobody(ground, "verify", "all", "--json")
    verified.refused(3, "unreadable", "Permission denied")
    states = {row["stage"]: row["state"] for row in json.loads(verified.out)["artifacts"]}
    assert states["sample"] == states["embed"] == "unreadable", f"{states}"
    assert states["prompts"] == "whole" and len(states) >= 6, f"{states}"
    rows = json.loads(_as_nobody(ground, "status", *SMOKE, "--json").fine().out)["stages"]
    assert {"sample": "unreadable", "prompts": "done"}.items() <= {
        r["stage"]: r["state"] for r in rows
    }.items()


@case("a transfer that skips hidden files leaves whole artifacts, and says what they lack")
def _(ground: Ground) -> None:
    ground.smoke("before")
    shutil.copytree(
        ground.folder / "before", ground.folder, ignore=shutil.ignore_patterns(".*"), dirs_exist_ok=True
    )
    found = json.loads(ground.rmlab("verify", "all", "--json").fine().out)["artifacts"]
    assert found and all(row["state"] == "whole" and "hidden files" in row["why"] for row in found)
    again = ground.rmlab("run", *SMOKE).fine()
    assert "starts" not in again.text, "it makes again what has come"
    ground.rmlab("verify", "all", "--repair").fine("whole")
    found = json.loads(ground.rmlab("verify", "all", "--json").fine().out)["artifacts"]
    assert not any(row["why"] for row in found), "the copies of the manifests are still missing"


@case("the log of a run that goes on stays, however old it looks")
def _(ground: Ground) -> None:
    running = ground.start("run", *SMOKE)
    log = running.wait_for_file("artifacts/logs/*-run-*.jsonl", ground.folder)
    running.wait_until_it_says("embed: starts")
    running.signal(signal.SIGSTOP)
    os.utime(log, (1, 1))
    for n in range(120):
        (log.parent / f"20260101T000000Z-run-{n + 1}-9.jsonl").write_text("{}\n")
    ground.rmlab("sample", *SMOKE, "seed=7").fine()
    assert log.exists(), "the log of a running process was deleted"
    running.signal(signal.SIGCONT)
    running.end().fine("report: done")
    assert len(list(log.parent.iterdir())) <= 102, "logs that are over are not deleted"


@case("a disk that is full ends a run in one line, and it goes on once there is room")
def _(ground: Ground) -> None:
    with memory_disk(ground, 1) as disk:
        (disk / "filler").write_bytes(bytes(900_000))
        ended = ground.rmlab("run", *SMOKE, f"out={disk / 'a'}")
        ended.refused(1, "no space left on the disk", "same command")
        (disk / "filler").unlink()
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        ground.rmlab("run", *SMOKE, f"out={disk / 'a'}").fine("report: done")
        ground.rmlab("verify", str(disk / "a")).fine("whole")


def _runs_on(ground: Ground, disk: Path) -> None:
    ground.rmlab("run", *SMOKE, f"out={disk / 'a'}").fine("report: done")
    again = ground.rmlab("run", *SMOKE, f"out={disk / 'a'}").fine()
    assert "starts" not in again.text, "it makes again what is there"
    ground.rmlab("run", *SMOKE, f"out={disk / 'a'}", "--force").fine("report: done")
    ground.rmlab("verify", str(disk / "a")).fine("whole")


@case("a FAT disk, without links and permissions, holds artifacts as others do", quick=False)
def _(ground: Ground) -> None:
    with loop_disk(ground, "vfat") as disk:
        _runs_on(ground, disk)


@case("an exFAT disk by a driver outside the kernel holds artifacts as others do", quick=False)
def _(ground: Ground) -> None:
    with loop_disk(ground, "exfat", driver="exfat-fuse") as disk:
        _runs_on(ground, disk)


@case("a small disk in a file fills up, and what is there stays whole", quick=False)
def _(ground: Ground) -> None:
    with loop_disk(ground, "ext4", 8) as disk:
        _runs_on(ground, disk)
        room = shutil.disk_usage(disk).free
        (disk / "filler").write_bytes(bytes(max(0, room - 20_000)))
        ended = ground.rmlab("run", *SMOKE, "seed=5", f"out={disk / 'a'}")
        ended.refused(1, "no space left on the disk")
        found = ground.rmlab("verify", str(disk / "a"), "--json").fine()
        assert "damaged" not in {row["state"] for row in json.loads(found.out)["artifacts"]}
