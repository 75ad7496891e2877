"""A folder with an artifact of every kind, made by the commands that users type."""

from __future__ import annotations

import shutil
from pathlib import Path

from own_finding import write_finding
from small_settings import SMALL

from rmlab.pipeline.stages import BY_NAME

KINDS = tuple(BY_NAME)


def every_kind(cli, small_run: Path, to: Path) -> Path:
    """The small run, which is taken over, with its cross-validation, its frontier, a sweep and a study."""
    shutil.copytree(small_run, to)
    study = ("reproduce", "seed=0", "--only", "mine", "--config-dir", write_finding(to.parent))
    for command in (
        ("run", "crossval.folds=2"),
        ("frontier",),
        ("sweep", "seed=0,1", "head=linear", "arms=[]"),
        study,
    ):
        result = cli(command[0], *SMALL, f"out={to}", *command[1:])
        assert result.code == 0, result.err
    return to


def artifacts(out: Path) -> list[Path]:
    return sorted(manifest.parent for manifest in out.glob("*/*/manifest.json"))


def files_of(artifact: Path) -> list[Path]:
    """All that it consists of; hidden files are rmlab's own notes."""
    found = [p for p in sorted(artifact.rglob("*")) if p.is_file()]
    return [p for p in found if not any(part.startswith(".") for part in p.relative_to(artifact).parts)]


def flip(file: Path, at: int, bit: int = 0) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1 << bit
    file.write_bytes(bytes(data))
