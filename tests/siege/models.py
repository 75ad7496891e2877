"""Folders of models that are broken, odd or forged: taken, or refused with one line; nothing of theirs is run."""

from __future__ import annotations

import shutil

from siege.base import Ground, case, judge
from siege.command import Ended
from siege.hostile_models import BROKEN, FORGED, ODD, OWNED, REFUSED, TAKEN, Change

Models = dict[str, tuple[Change, tuple[str, ...]]]
_SETTINGS = (
    "experiment=smoke",
    "prompts.n_train=2",
    "prompts.n_test=1",
    "prompts.template=chat",
    "sampling.n_train=2",
    "sampling.n_test=1",
    "sampling.max_new_tokens=3",
    "demonstrations.n=4",
    "sft=none",
    "sampler=transformers",
    "embedder=transformers",
    "golden=length",
    "arms=[]",
)
_IMPORTS = (
    "transformers.models.llama.modeling_llama",
    "rmlab.samplers.transformers",
    "rmlab.embedders.transformers",
)
_WRITE = """
import sys
from pathlib import Path
from rmlab.models.bundled.random_tiny import write_random_model
write_random_model(Path(sys.argv[1]) / "model")
"""


def _run(ground: Ground, models: Models) -> None:
    """Samples from some of the models, and embeds with those that could be sampled from."""
    names = ground.some(models, 5)
    made = ground.shared.made("model", lambda folder: ground.python(_WRITE, str(folder)).fine() and None)
    for name in names:
        shutil.copytree(made / "model", ground.folder / name)
        models[name][0](ground.folder / name)
    ends = _ends(ground, "sample", names)
    ends |= _ends(ground, "embed", [name for name, ended in ends.items() if ended.code == 0])

    def check(name: str, ended: Ended) -> None:
        assert ended.code in (0, 3), ended.tail()
        assert (REFUSED if ended.code else TAKEN)[0] in models[name][1], ended.tail()
        ended.plain().refused(3) if ended.code else ended.plain().fine()
        assert ended.peak < 3 << 30, f"it took {ended.peak >> 20} MiB"
        kept = list(ground.folder.glob(f"out/{name}/embed/*/manifest.json"))
        assert not (ended.code and kept), "vectors were kept"

    judge(ends, check)
    assert not (ground.folder / OWNED).exists(), "code of a model was run"


def _ends(ground: Ground, stage: str, names: list[str]) -> dict[str, Ended]:
    commands = [[stage, *_SETTINGS, f"model=./{name}", f"out=out/{name}"] for name in names]
    return dict(zip(names, ground.each(commands, 300.0, imports=_IMPORTS), strict=True)) if names else {}


@case("model folders whose files are broken")
def _(ground: Ground) -> None:
    _run(ground, BROKEN)


@case("model folders whose configuration is odd")
def _(ground: Ground) -> None:
    _run(ground, ODD)


@case("model folders of forged weights, templates and code")
def _(ground: Ground) -> None:
    _run(ground, FORGED)
