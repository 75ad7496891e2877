"""Folders of models that are broken, odd or forged: taken, or refused with one line; nothing of theirs is run."""

from __future__ import annotations

import shutil

from siege.base import Ground, case
from siege.command import Ended
from siege.hostile_models import MODELS, OWNED, REFUSED, TAKEN

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


def _folders(ground: Ground, names: list[str]) -> None:
    made = ground.shared.made("model", lambda folder: ground.python(_WRITE, str(folder)).fine() and None)
    for name in names:
        shutil.copytree(made / "model", ground.folder / name)
        MODELS[name][0](ground.folder / name)


def _judge(name: str, ended: Ended) -> None:
    try:
        assert ended.code in (0, 3), ended.tail()
        how = TAKEN if ended.code == 0 else REFUSED
        assert how[0] in MODELS[name][1], f"it was {how[0]}; {ended.tail()}"
        ended.plain()
        ended.fine() if how == TAKEN else ended.refused(3)
        assert ended.peak < 3 << 30, f"it took {ended.peak >> 20} MiB"
    except AssertionError as error:
        raise AssertionError(f"{name}: {error}") from None


@case("a model folder is used, or refused with one line")
def _(ground: Ground) -> None:
    names = ground.some(MODELS)
    _folders(ground, names)
    commands = [["embed", *_SETTINGS, f"model=./{name}", f"out=out/{name}"] for name in names]
    sampled = ground.each([["sample", *c[1:]] for c in commands], 300.0, imports=_IMPORTS)
    taken = [(n, c) for n, c, ended in zip(names, commands, sampled, strict=True) if ended.code == 0]
    embedded = dict(
        zip([n for n, _ in taken], ground.each([c for _, c in taken], 300.0, imports=_IMPORTS), strict=True)
    )
    for name, ended in zip(names, sampled, strict=True):
        if ended.code == 0 and embedded[name].code != 0:
            ended = embedded[name]
        _judge(name, ended)
        if ended.code:
            assert not list(ground.folder.glob(f"out/{name}/embed/*/manifest.json")), (
                f"{name}: vectors were kept"
            )
    assert not (ground.folder / OWNED).exists(), "code of a model was run"
