"""Names of files and folders that a shell, Hydra or OmegaConf would take for something else."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

from siege.base import Ground, case

_NAMES = (
    "é.jsonl",
    "${oc.env:HOME}.jsonl",
    "${seed}.jsonl",
    "it's [a], {b: c} = 50 % \\ of $x.jsonl",
    "two\nlines\t.jsonl",
    '"null".jsonl',
    "1_000.jsonl",
)
_ROWS = [
    {
        "prompt": f"say {i}",
        "chosen": f"yes {i}",
        "rejected": f"no {i}",
        "split": "test" if i % 3 == 0 else "train",
    }
    for i in range(18)
]


def _file(ground: Ground, name: str) -> str:
    (ground.folder / name).write_text("".join(json.dumps(row) + "\n" for row in _ROWS), encoding="utf-8")
    return f"./{name}"


def _declare(name: str, quick: bool) -> None:
    @case(f"a file called {name!r} is imported", quick=quick)
    def _(ground: Ground) -> None:
        """And the command that is named next plans a run of the same file."""
        made = json.loads(ground.rmlab("import", _file(ground, name), "--json").fine().out)
        assert made["import"]["items"] == len(_ROWS)
        ran = ground.start("-c", f"{made['next']} --dry-run --json", program=["bash"], env=_path()).end()
        stages = {row["stage"]: row for row in json.loads(ran.fine().out)["stages"]}
        assert stages["sample"]["state"] == "already", "the command that is named next reads another file"


def _path() -> dict[str, str]:
    """The environment in which a shell finds the command."""
    return {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}


for _n, _name in enumerate(_NAMES):
    _declare(_name, quick=_n < 2)


@case("artifacts in a folder of any name are made again by the command that verify names")
def _(ground: Ground) -> None:
    place = ground.smoke("a")
    moved = ground.folder / "it's ${seed} [é]"
    place.rename(moved)
    part = next((moved / "artifacts" / "embed").glob("*/part-00000.parquet"))
    part.write_bytes(part.read_bytes()[:-1])
    ended = ground.rmlab("verify", "--repair", str(moved / "artifacts"), "--json")
    [again] = [row["again"] for row in json.loads(ended.out)["artifacts"] if "again" in row]
    words = shlex.split(again.partition(" && ")[2] or again)
    ground.rmlab(*words[1:], cwd=moved).fine()
    assert part.is_file(), "the command made something else"
