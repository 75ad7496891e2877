"""Runs every stage into ./artifacts, for test_determinism.py: here, or as `python determinism_runs.py`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

from own_finding import write_finding
from small_settings import SMALL

from rmlab.commands.sweep import report_node
from rmlab.pipeline.plan import in_order, load_arms, plan
from rmlab.pipeline.run import run_nodes
from rmlab.pipeline.stages import FRONTIER
from rmlab.storage.artifact import Artifact
from rmlab.study.finding import load_findings
from rmlab.study.plan import plan_study

HEADS = (
    "head=linear",
    "head=mlp head.epochs=3",
    "head=trees loss=classification",
    "head=laplace",
    "head=directions",
    "head=mlp head.epochs=2 ensemble.members=2 ensemble.combine=lcb",
)
STAND_INS = ("sft=none", "crossval.folds=2", "out=artifacts/stand_ins")
MODELS = ("sampler=transformers", "embedder=transformers", "golden=length", "out=artifacts/models")


def run(overrides: Iterable[str], *stages: str) -> dict[str, Artifact]:
    """stage, or stage:name where there are several -> artifact; of these stages, or of all."""
    nodes = [n for n in plan(load_arms([*SMALL, *overrides]), FRONTIER) if n.stage in stages or not stages]
    made = {}
    for outcome in run_nodes(nodes, "test", quiet=True):
        node, artifact = outcome.node, outcome.artifact
        assert artifact is not None
        made[f"{node.stage}:{node.name}" if node.stage in ("annotate", "fit_rm") else node.stage] = artifact
    return made


@contextmanager
def timeless() -> Iterator[None]:
    """Reports say when and from which commit they were made, and how long stages took; here it is not told."""
    with ExitStack() as patches:
        for page in ("stages.report", "study.report_content"):
            patches.enter_context(patch(f"rmlab.{page}.now", lambda: "now"))
            patches.enter_context(patch(f"rmlab.{page}.git_state", dict))
        patches.enter_context(patch("rmlab.report.wording.duration", lambda seconds: "a while"))
        yield


def run_everything() -> None:
    with timeless():
        run([*STAND_INS, "arms=[]"])
        run([*STAND_INS, f"arms={list(HEADS)}"], "fit_rm", "crossval", "eval_rm", "heldout")
        run(MODELS, "prompts", "sft", "sample", "annotate", "embed")
        conf = write_finding(Path())
        study = plan_study(load_findings(["mine"], conf), [*SMALL, *STAND_INS, "seed=0,1"], 1, conf)
        run_nodes([*in_order(study), report_node(study.inputs["sweep"])], "test", quiet=True)


if __name__ == "__main__":
    run_everything()
