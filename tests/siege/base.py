"""The register of cases, and the ground that each is tried on: a fresh folder, and what it needs."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from small_settings import TINY

from siege.command import SOURCE, Ended, Running

RMLAB = str(Path(sys.executable).parent / "rmlab")  # the command as it is installed

SMOKE = (*TINY, "prompts_per_shard=4", "demonstrations.n=4", "sft=none")


class Cannot(Exception):
    """Says why an attack cannot be tried on this machine."""


@dataclass(frozen=True)
class Case:
    group: str
    name: str
    attack: Callable[[Ground], None]
    is_quick: bool


CASES: list[Case] = []


def case(name: str, *, quick: bool = True) -> Callable[[Callable[[Ground], None]], Callable[[Ground], None]]:
    """Declares an attack of the group that its module is."""

    def declare(attack: Callable[[Ground], None]) -> Callable[[Ground], None]:
        CASES.append(Case(attack.__module__.rpartition(".")[2], name, attack, quick))
        return attack

    return declare


def judge(ends: Mapping[str, Ended], check: Callable[[str, Ended], None]) -> None:
    """Asserts that what a check asserts of each named command holds; says of all where it does not."""
    wrong = []
    for name, ended in ends.items():
        try:
            check(name, ended)
        except AssertionError as error:
            wrong.append(f"{name}: {error}")
    assert not wrong, f"{len(wrong)} of {len(ends)}: " + "; ".join(wrong)


@dataclass
class Shared:
    """What is made once in a run of this program, and copied to each case that asks for it."""

    scratch: Path
    is_quick: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    locks: dict[str, threading.Lock] = field(default_factory=dict)

    def made(self, name: str, make: Callable[[Path], None]) -> Path:
        with self.lock:
            mine = self.locks.setdefault(name, threading.Lock())
        folder = self.scratch / "made" / name
        with mine:
            if not folder.exists():
                (unfinished := self.scratch / f"making-{name}").mkdir(parents=True)
                make(unfinished)
                folder.parent.mkdir(exist_ok=True)
                unfinished.rename(folder)
        return folder


@dataclass
class Ground:
    """folder: fresh and empty, the current folder of commands unless they are given another."""

    folder: Path
    shared: Shared
    mark: str

    def rmlab(self, *arguments: str, seconds: float = 300.0, **how: object) -> Ended:
        """Runs the installed command to its end. how: see Ground.start."""
        return self.start(*arguments, **how).end(seconds)

    def start(
        self,
        *arguments: str,
        cwd: Path | None = None,
        env: Mapping[str, str | None] | None = None,
        prefix: Sequence[str] = (),
        limits: str = "",
        stdin: str | None = None,
        terminal: bool = False,
        program: Sequence[str] | None = None,
    ) -> Running:
        """Starts the installed command, and returns at once.

        env: added to the environment; a value of None removes a name. prefix: a program that starts it,
        such as ("setpriv", …). limits: arguments of the shell's ulimit, such as "-f 100 -n 64". stdin: its
        text (nothing, if None). terminal: whether it is started at a terminal of its own. program: what is
        started instead of rmlab.
        """
        front = [*_limited(limits), *prefix]
        return Running(
            [*front, *(program or [RMLAB]), *arguments],
            cwd or self.folder,
            self.environment(env or {}),
            stdin=stdin,
            terminal=terminal,
        )

    def python(self, code: str, *arguments: str, seconds: float = 300.0, **how: object) -> Ended:
        """Runs a program of Python in a process of its own, in which rmlab can be imported."""
        return self.start("-c", code, *arguments, program=[sys.executable], **how).end(seconds)

    def each(
        self,
        commands: Sequence[Sequence[str]],
        seconds: float = 120.0,
        imports: Sequence[str] = (),
        **how: object,
    ) -> list[Ended]:
        """Runs many commands one after the other, each in a fork of one process, so that imports cost once.

        seconds: that each may take; a command that takes longer is killed, and its code is that of SIGKILL.
        imports: modules that most of the commands would import by themselves.
        """
        here = str(how.get("cwd") or self.folder)
        asked, ends = self.folder / ".commands.json", self.folder / ".ends.json"
        asked.write_text(json.dumps([{"argv": list(argv), "cwd": here} for argv in commands]))
        program = [sys.executable, "-P", str(Path(__file__).with_name("forking.py"))]
        whole = self.start(str(asked), str(ends), str(seconds), *imports, program=program, **how)
        whole.end(seconds * len(commands) + 120.0).fine()
        return [Ended(**end) for end in json.loads(ends.read_text())]

    def some(self, names: Iterable[str], step: int = 3) -> list[str]:
        """All of them; in a quick run the first of every few."""
        return list(names)[:: step if self.shared.is_quick else 1]

    def environment(self, changes: Mapping[str, str | None]) -> dict[str, str]:
        """This process's, with one thread of arithmetic, a cache for the whole run, and no model hub."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("RMLAB_")}
        ours = {
            **kept,
            "PYTHONPATH": str(SOURCE),
            "RMLAB_CACHE": str(self.shared.scratch / "cache"),
            "HF_HUB_OFFLINE": "1",
            "SIEGE_CASE": self.mark,
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
        }
        return {k: v for k, v in {**ours, **changes}.items() if v is not None}

    def smoke(self, into: str = ".") -> Path:
        """Copies a finished run of SMOKE to a folder below this one; returns that folder."""
        return self.copy("smoke", self._run_smoke, into)

    def copy(self, name: str, make: Callable[[Path], None], into: str = ".") -> Path:
        """Copies what `make` leaves in the folder that it is given; it is called once for each name."""
        place = self.folder / into
        shutil.copytree(self.shared.made(name, make), place, symlinks=True, dirs_exist_ok=True)
        return place

    def _run_smoke(self, folder: Path) -> None:
        self.rmlab("run", *SMOKE, cwd=folder).fine()

    def artifact(self, stage: str) -> Path:
        """The folder of a stage's one artifact below artifacts/ of this folder."""
        found = sorted(p.parent for p in (self.folder / "artifacts" / stage).glob("*/manifest.json"))
        assert len(found) == 1, f"{len(found)} artifacts of {stage}"
        return found[0]


def _limited(limits: str) -> list[str]:
    return ["bash", "-c", f'ulimit {limits} && exec "$@"', "bash"] if limits else []
