"""Results that changed code, lexicons and packages would silently keep."""

from __future__ import annotations

import json
from pathlib import Path

from siege.base import SMOKE, Ground, case
from siege.command import SOURCE

_CALLABLE = (*SMOKE, "golden=callable", "golden.callable.path=mine.reward", "allow_modules=[mine]")


def _write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        place = folder / f"{name}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")


def _own(ground: Ground) -> dict[str, str]:
    """The environment in which the user's modules are found."""
    return {"PYTHONPATH": f"{SOURCE}:{ground.folder}"}


def _scores(ground: Ground) -> list[float]:
    import pyarrow.parquet as pq

    made = sorted((ground.folder / "artifacts" / "annotate").glob("*/manifest.json"), key=_age)
    return [
        s for part in sorted(made[-1].parent.glob("part-*")) for s in pq.read_table(part)["score"].to_pylist()
    ]


def _age(file: Path) -> int:
    return file.stat().st_mtime_ns


def _state(ended_out: str, stage: str) -> str:
    return next(row["state"] for row in json.loads(ended_out)["stages"] if row["stage"] == stage)


def _annotate(ground: Ground, *words: str) -> str:
    ended = ground.rmlab("annotate", *words, "--json", env=_own(ground)).fine()
    return _state(ended.out, "annotate")


@case("a helper of a helper of golden=callable is edited: nothing counts as done, verify says stale")
def _(ground: Ground) -> None:
    _write(
        ground.folder,
        mine="def reward(prompts, responses):\n    from helper import length\n    return [length(r) for r in responses]\n",
        helper="from deeper.units import UNIT\ndef length(text): return UNIT * len(text)\n",
        **{"deeper/__init__": "", "deeper/units": "UNIT = 1.0\n"},
    )
    ground.rmlab("sample", *_CALLABLE, env=_own(ground)).fine()
    ground.rmlab("annotate", *_CALLABLE, env=_own(ground)).fine("its code (4 files)", "data files", "--force")
    before = _scores(ground)
    assert _annotate(ground, *_CALLABLE) == "already"
    ground.rmlab("verify", "all").fine()
    _write(ground.folder, **{"deeper/units": "UNIT = -1.0\n"})
    ground.rmlab("verify", "all").refused(3, "1 stale", "mine.reward has changed since")
    assert _annotate(ground, *_CALLABLE) == "done", "old scores count as done"
    assert _scores(ground) == [-score for score in before]


@case("an edited VADER lexicon gives other scores under another fingerprint")
def _(ground: Ground) -> None:
    """In a copy of the package that comes before the one that is installed."""
    import importlib.metadata
    import shutil

    copy = ground.folder / "site-packages"
    for file in importlib.metadata.files("vaderSentiment") or []:
        if file.suffix != ".pyc" and ".." not in file.parts:
            (copy / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), copy / file)
    words = (*SMOKE, "golden=sentiment")
    own = {"PYTHONPATH": f"{SOURCE}:{copy}"}
    ground.rmlab("sample", *words, env=own).fine()
    ground.rmlab("annotate", *words, env=own).fine()
    ground.rmlab("verify", "all", env=own).fine()
    before = _scores(ground)
    lexicon = copy / "vaderSentiment" / "vader_lexicon.txt"
    lines = lexicon.read_text(encoding="utf-8").splitlines(keepends=True)
    turned = [
        line
        if len(parts := line.split("\t")) < 2
        else "\t".join([parts[0], str(-float(parts[1])), *parts[2:]])
        for line in lines
    ]
    lexicon.write_text("".join(turned), encoding="utf-8")
    ground.rmlab("verify", "all", env=own).refused(3, "1 stale", "vadersentiment has changed since")
    ended = ground.rmlab("annotate", *words, "--json", env=own).fine()
    assert _state(ended.out, "annotate") == "done", "old scores count as done"
    assert _scores(ground) != before, "the copy of the lexicon is not the one that is read"


_LOSS = """
from dataclasses import dataclass
from slope import SLOPE
import torch

@dataclass(frozen=True)
class Mine:
    def __call__(self, scores, comparisons):
        return torch.nn.functional.softplus(-SLOPE * (scores[:, 0] - scores[:, 1]))
"""


@case("a module of an own loss is edited: its heads, and a sweep over it, are made again", quick=False)
def _(ground: Ground) -> None:
    _write(ground.folder, mine=_LOSS, slope="SLOPE = 1.0\n")
    place = ground.folder / "conf" / "loss" / "mine.yaml"
    place.parent.mkdir(parents=True)
    place.write_text("_target_: mine.Mine\n")
    words = (
        *SMOKE,
        "arms=[]",
        "head=linear",
        "loss=mine",
        "allow_modules=[mine]",
        "--config-dir",
        str(place.parents[1]),
    )
    ground.rmlab("run", *words, env=_own(ground)).fine("its code (2 files)", "--force")
    ground.rmlab("sweep", *words, "seed=0,1", env=_own(ground)).fine()
    ground.rmlab("verify", "all", env=_own(ground)).fine()
    _write(ground.folder, slope="SLOPE = 3.0\n")
    ended = ground.rmlab("verify", "all", "--json", env=_own(ground))
    stale = {row["stage"] for row in json.loads(ended.out)["artifacts"] if row["state"] == "stale"}
    assert {"fit_rm", "eval_rm", "sweep"} <= stale, f"stale is only {stale}"
    again = json.loads(ground.rmlab("run", *words, "--json", env=_own(ground)).fine().out)
    states = {row["stage"]: row["state"] for row in again["stages"]}
    assert states["fit_rm"] == "done" and states["embed"] == "already"
    planned = ground.rmlab("sweep", *words, "seed=0,1", "--dry-run", "--json", env=_own(ground)).fine()
    assert json.loads(planned.out)["estimate"]["known"] == 0, "rows of the old loss would be taken over"
