"""A current folder in which every file waits to be executed: none is, whatever command runs there."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from siege.base import SMOKE, Ground, case

MARKS = "executed"  # beside the hostile folder: who was
_MODULE = """
with open({marks!r}, "a") as file:
    file.write({name!r} + "\\n")
"""
# Each command of the command line in one process, which the installed command is but for its name.
_ALL = """
import json, sys
from rmlab.cli import main

for arguments in json.loads(sys.argv[1]):
    sys.argv = ["rmlab", *arguments]
    try:
        main()
    except SystemExit as ended:
        print("ended", arguments[0], ended.code, flush=True)
"""
_COMMANDS = "import typer; from rmlab.cli import app; print(*typer.main.get_command(app).commands)"
_OF_PYTHON = "import sys; print(*sys.modules)"  # what `python -m` has imported before the module that it runs
_SWEEP = ("sweep", *SMOKE, "arms=[]", "seed=0,1", "--workers", "2")
_SFT = ("sft", *(word for word in SMOKE if word != "sft=none"))
_OWN = "def reward(prompts, responses):\n    return [float(len(r)) for r in responses]\n"
_ANNOTATE = (
    "annotate",
    *SMOKE,
    "golden=callable",
    "golden.callable.path=mine.reward",
    "allow_modules=[mine]",
    "workers=2",
)


def hostile(ground: Ground, but: Iterable[str] = ()) -> Path:
    """A folder with a module for every name that a program may import, and a repository with a program for
    whatever git may run. but: modules that are left out."""
    folder = ground.folder / "hostile"
    for module in ("hydra_plugins/evil", "conf/evil"):
        (folder / module).parent.mkdir(parents=True)
        (folder / f"{module}.py").write_text(_trap(ground, module))
    for name in _names() - set(but):
        (folder / f"{name}.py").write_text(_trap(ground, name))
    (folder / "conf" / "experiment").mkdir()
    (folder / "conf" / "experiment" / "smoke.yaml").write_text("head: {_target_: evil.Head}\n")
    (folder / "config.json").write_text(json.dumps({"auto_map": {"AutoConfig": "evil.Config"}}))
    (folder / "matplotlibrc").write_text("lines.linewidth: owned\n")
    (folder / ".env").write_text(f"PYTHONPATH={folder}\nBROWSER={folder}/program\n")
    _repository(ground, folder)
    return folder


def _trap(ground: Ground, name: str) -> str:
    return _MODULE.format(marks=str(ground.folder / MARKS), name=name)


def _names() -> set[str]:
    installed = {name for name in importlib.metadata.packages_distributions() if name.isidentifier()}
    own = {"sitecustomize", "usercustomize", "rmlab", "evil", "conftest", "setup", "main"}
    return {*sys.stdlib_module_names, *installed, *own}


def _repository(ground: Ground, folder: Path) -> None:
    program = folder / "program"
    program.write_text(f"#!/bin/sh\necho git >>'{ground.folder / MARKS}'\n")
    program.chmod(0o755)
    (folder / "tracked").write_text("one\n")

    def git(*words: str) -> None:
        identity = ("-c", "user.name=n", "-c", "user.email=e")
        subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)

    git("init", "-q")
    git("add", "tracked")
    git("commit", "-qm", "first")
    (folder / "tracked").write_text("two\n")
    (folder / ".gitattributes").write_text("* filter=evil diff=evil\n")
    settings = ("core.fsmonitor", "filter.evil.clean", "diff.external", "diff.evil.textconv", "core.pager")
    for name in settings:
        git("config", name, str(program))
    (folder / ".git" / "hooks" / "post-index-change").write_text(program.read_text())
    (folder / ".git" / "hooks" / "post-index-change").chmod(0o755)


def untouched(ground: Ground) -> None:
    marks = ground.folder / MARKS
    assert not marks.exists(), f"executed: {', '.join(sorted(set(marks.read_text().split())))}"


@case("every command in a folder of hostile modules, with a hostile repository")
def _(ground: Ground) -> None:
    commands = ground.python(_COMMANDS).out.split()
    folder = hostile(ground)
    (ground.folder / "driver.py").write_text(_ALL)
    pairs = [{"prompt": f"p {k}", "chosen": f"good {k}", "rejected": f"bad {k}"} for k in range(8)]
    pq.write_table(pa.Table.from_pylist(pairs), folder / "pairs.parquet")
    given = {
        "run": (*SMOKE, "workers=2"),
        "sft": ("--dry-run", *_SFT[1:]),
        "sweep": _SWEEP[1:],
        "import": ("pairs.parquet",),
        "export": ("out.jsonl", *SMOKE),
        "inspect": ("pairs.parquet",),
        "release": ("set", *SMOKE, "release.license=CC-BY-4.0"),
        "validate": ("set",),
        "merge": ("study", "set"),
        "verify": ("all",),
        "reproduce": (*SMOKE, "--dry-run"),
        "doctor": (),
    }
    first = sorted(commands, key=lambda name: name != "run")
    asked = json.dumps([[name, *given.get(name, SMOKE)] for name in first])
    program = [sys.executable, str(ground.folder / "driver.py")]
    ended = ground.start(asked, program=program, cwd=folder).end(600)
    done = {line.split()[1]: line.split()[2] for line in ended.out.splitlines() if line.startswith("ended ")}
    assert set(done) == set(commands), ended.tail()
    must = ("run", "sweep", "status", "verify", "import", "export", "doctor", "annotate", "report", "sft")
    assert {done[name] for name in must} == {"0"}, f"{done}; {ended.tail()}"
    assert "matplotlibrc" not in ended.text, "the figures' library reads settings of the current folder"
    untouched(ground)


@case("python -m rmlab, with two workers and with a module of the user's own")
def _(ground: Ground) -> None:
    """Python itself imports some modules before the one that it is told to run, and looks for that one there."""
    (ground.folder / "empty.py").write_text(_OF_PYTHON)
    started = ground.start(program=[sys.executable, "-m", "empty"]).end().out.split()
    folder = hostile(ground, but=["rmlab", *started])
    (folder / "mine.py").write_text(_OWN)
    ground.smoke("hostile")
    module = [sys.executable, "-m", "rmlab"]
    ground.start(*_SWEEP, program=module, cwd=folder).end().fine()
    ended = ground.start(*_ANNOTATE, program=module, cwd=folder).end()
    assert ended.code and "mine" in ended.err, ended.tail()
    untouched(ground)


@case("PYTHONPATH=. finds the user's own module in every worker")
def _(ground: Ground) -> None:
    ground.smoke()
    (ground.folder / "mine.py").write_text(_OWN)
    search = {"PYTHONPATH": f".:{ground.environment({})['PYTHONPATH']}"}
    ground.rmlab(*_ANNOTATE, env=search).fine("annotate")


@case("SFT on two devices, and the conversion of the default model", quick=False)
def _(ground: Ground) -> None:
    folder = hostile(ground)
    ground.rmlab(*_SFT, "sft.devices=2", "device=cpu", cwd=folder, seconds=600).fine()
    fresh = {"RMLAB_CACHE": str(ground.folder / "cache")}
    few = ("prompts.n_train=2", "prompts.n_test=1", "sampling.n_train=1", "sampling.n_test=1")
    real = ("sampler=transformers", "model=smollm2-135m-q4", "sampling.max_new_tokens=2")
    ended = ground.rmlab("sample", *SMOKE, *real, *few, env=fresh, cwd=folder, seconds=600)
    assert "converting" in ended.err, ended.tail()
    ended.fine()
    untouched(ground)
