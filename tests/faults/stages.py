"""The commands that faults strike, on data so small that most of the time goes into starting."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from small_settings import ARMS, TINY

from rmlab.pipeline.stages import BY_NAME
from rmlab.pipeline.stages import STAGES as TABLE

SMALL = (
    *TINY,
    "prompts_per_shard=4",
    "crossval.folds=2",
    "demonstrations.n=8",
    "sft.batch_size=2",
    "sft.checkpoint_steps=1",
    ARMS,
)
_FINDING = """title: Noise
question: Does it matter?
claim: It does.
source: these faults
arms: {linear: head=linear loss=bradley_terry, directions: head=directions loss=bradley_terry}
grid: ["noise.error=0.0,0.45"]
x: noise.error
claims:
  - {statement: clean beats noisy, plus: [{noise.error: 0.0}], minus: [{noise.error: 0.45}], smallest: 0.1}
"""


@dataclass(frozen=True)
class Stage:
    """makes: patterns of what the command makes below the folder it runs in. after: what must be there first.

    last: the name of what is put in its place last. is_apart: has no place among the others' results, since
    it makes what another stage has made already. is_once: the command refuses to make again what is there.
    """

    name: str
    command: tuple[str, ...]
    makes: tuple[str, ...]
    after: tuple[str, ...] = ()
    last: str = "manifest.json"
    is_apart: bool = False
    is_once: bool = False


def _own_commands() -> list[Stage]:
    """The command of every stage that has one, in the order of the table of stages."""
    found = []
    for stage in TABLE:
        if not stage.command:
            makes = tuple(f"artifacts/{made.name}" for made in TABLE if made.typed == stage.typed)
            read = (BY_NAME.get(role.partition(":")[0]) for role in stage.reads)
            after = dict.fromkeys(other.typed for other in read if other and other.typed != stage.typed)
            found.append(Stage(stage.typed, (stage.typed, *SMALL), makes, tuple(after)))
    return found


STAGES = (
    *_own_commands(),
    Stage(
        "sample-lm",
        ("sample", *SMALL, "sampler=transformers", "sft=none", "out=lm"),
        ("lm/prompts", "lm/sample"),
    ),
    Stage(
        "embed-workers",
        ("embed", *SMALL, "workers=2"),
        ("artifacts/embed",),
        ("embed",),
        is_apart=True,
    ),
    Stage("frontier", ("frontier", *SMALL), ("artifacts/frontier",), ("eval-rm",)),
    Stage(
        "sweep",
        ("sweep", *SMALL, "name=grid", "head=linear,directions", "seed=0,1,2", "--workers", "2"),
        ("artifacts/sweep/grid-*", "artifacts/sweep_report"),
        ("annotate", "embed"),
    ),
    Stage(
        "reproduce",
        ("reproduce", *SMALL, "name=study", "seed=5,6", "--only", "mine", "--config-dir", "conf"),
        ("artifacts/sweep/study-*", "artifacts/study"),
        ("annotate", "embed"),
    ),
    Stage(
        "import",
        ("import", "pairs.jsonl", "out=imported"),
        ("imported",),
    ),
    Stage(
        "release",
        ("release", "set", *SMALL, "release.license=CC-BY-4.0"),
        ("set",),
        ("annotate", "embed"),
        last="set",
    ),
    Stage(
        "release-all",
        ("release", "other", *SMALL, "release.license=CC-BY-4.0", "out=base", "sft=none"),
        ("other", "base"),
        last="other",
    ),
    Stage(
        "merge",
        ("merge", "both", "set", "other"),
        ("both",),
        ("release", "release-all"),
        last="both",
        is_once=True,
    ),
    Stage(
        "export",
        ("export", "preferences.jsonl", *SMALL),
        ("preferences.jsonl",),
        ("annotate",),
        last="preferences.jsonl",
        is_once=True,
    ),
    Stage(
        "export-folder",
        ("export", "preferences", "--to", "datasets", *SMALL),
        ("preferences",),
        ("annotate",),
        last="preferences",
        is_once=True,
    ),
    Stage("run", ("run", *SMALL, "out=whole"), ("whole",)),
)
NAMES = {stage.name: stage for stage in STAGES}


def write_inputs(folder: Path) -> None:
    """What the commands read that no stage makes."""
    (folder / "conf" / "study").mkdir(parents=True)
    (folder / "conf" / "study" / "mine.yaml").write_text(_FINDING)
    rows = [{"prompt": f"Say {i}.", "chosen": f"It is {i}.", "rejected": f"No {i}!"} for i in range(40)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
