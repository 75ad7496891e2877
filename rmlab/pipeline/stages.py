"""The table of stages: the name, inputs and way of running of each. There is no other list of stages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One stage. Its code is `run(job)` in the module of its name in rmlab/stages/.

    name: its name, also that of the folder that holds its artifacts.
    version: part of every fingerprint; raise it when equal settings give another result.
    reads: the roles of its inputs, each named after a stage; "fit_rm:*" stands for all nodes of that stage.
    summary: its purpose, for --help.
    command: the command that runs it; empty if that is its own, as for most stages.
    has_several: an experiment may have several nodes of it, so progress lines show their names.
    over_shards: it makes its parts one by one, in worker processes if there are several.
    shares_pass: nodes that are views of one result are made together; the module then also has
    `pass_key(settings, config)` and `run_pass(jobs)`.
    decided_by: the settings that decide its result besides its inputs: groups, sections and single settings,
    as `rmlab settings` names them.
    has_checks: its module has `foresee(node, problems)`, which looks for what would stop it before it begins.
    once: an experiment has one node of it, which the planner makes from this record: with the inputs that it
    reads and the settings that it is `decided_by`, and only if the setting `wanted_by` is not null.
    on_request: its node is made only where its own command asks for it, and not by `rmlab run`.
    is_result: its artifacts are what people look at, so that they are wanted even if no stage reads them.
    absent: why an experiment may have no such stage.
    """

    name: str
    version: int
    reads: tuple[str, ...]
    summary: str
    command: str = ""
    has_several: bool = False
    over_shards: bool = False
    shares_pass: bool = False
    has_checks: bool = False
    once: bool = False
    decided_by: tuple[str, ...] = ()
    wanted_by: str = ""
    on_request: bool = False
    is_result: bool = False
    absent: str = ""

    @property
    def typed(self) -> str:
        """The command that runs it, as typed after `rmlab`."""
        return self.command or self.name.replace("_", "-")

    @property
    def module(self) -> str:
        return f"rmlab.stages.{self.name}"

    def roles(self, known: Iterable[str]) -> list[str]:
        """The roles among `known` that it reads."""
        return [role for role in known if role in self.reads or f"{role.partition(':')[0]}:*" in self.reads]


PROMPTS = Stage(
    "prompts",
    4,
    reads=(),
    summary="Import the prompts.",
    command="sample",
    decided_by=("prompts",),
    has_checks=True,
)
SFT = Stage(
    "sft",
    3,
    reads=(),
    summary="Fine-tune the model on demonstrations (LoRA or full), completions only.",
    absent="sft=none, or no demonstrations: demonstrations.path=FILE",
    decided_by=("sft", "demonstrations", "prompts.template", "model", "revision", "dtype", "generation_seed"),
    has_checks=True,
)
SAMPLE = Stage(
    "sample",
    4,
    reads=("prompts", "sft"),
    summary="Draw n responses a prompt from the policy, for train and for test prompts.",
    over_shards=True,
    decided_by=("sampler", "sampling", "prompts.template", "model", "revision", "dtype", "generation_seed"),
    has_checks=True,
)
ANNOTATE = Stage(
    "annotate",
    3,
    reads=("prompts", "sample", "part:*"),
    summary="Score every response with the golden rewards.",
    has_several=True,
    over_shards=True,
    decided_by=("golden", "dtype"),
    has_checks=True,
)
EMBED = Stage(
    "embed",
    3,
    reads=("prompts", "sample"),
    summary="Embed every response with one model, layer and pooling.",
    over_shards=True,
    shares_pass=True,
    decided_by=("embedder", "prompts.template", "model", "revision", "dtype"),
    has_checks=True,
)
_FITTED_BY = (
    "head", "loss", "pairing", "noise", "selection", "comparisons", "ensemble", "centring", "teacher",
    "label_golden", "objectives", "validation", "seed",
)  # fmt: skip
FIT_RM = Stage(
    "fit_rm",
    5,
    reads=("sample", "annotate", "objective:*", "embed"),
    summary="Fit the reward heads of the experiment's arms on noisy comparisons.",
    has_several=True,
    decided_by=_FITTED_BY,
    has_checks=True,
)
CROSSVAL = Stage(
    "crossval",
    4,
    reads=FIT_RM.reads,
    summary="Fit each head anew without each fold of prompt groups; needs crossval.folds.",
    has_several=True,
    absent="no crossval.folds; try crossval.folds=5",
    has_checks=True,
    decided_by=(*_FITTED_BY, "crossval"),
)
EVAL_RM = Stage(
    "eval_rm",
    4,
    reads=("prompts", "sample", "annotate", "embed:*", "fit_rm:*"),
    summary="Judge heads and controls: best-of-N, rank correlation, accuracy, calibration.",
    once=True,
    decided_by=("evaluation", "validation", "seed"),
    is_result=True,
)
HELDOUT = Stage(
    "heldout",
    3,
    reads=("prompts", "sample", "annotate", "embed:*", "fit_rm:*", "crossval:*"),
    summary="Accuracy on held-out pairs, with intervals over prompt groups; needs crossval.folds.",
    once=True,
    decided_by=("crossval", "evaluation.resamples", "seed"),
    wanted_by="crossval.folds",
    is_result=True,
    absent=CROSSVAL.absent,
)
REPORT = Stage(
    "report",
    4,
    reads=(
        "prompts",
        "sft",
        "sample",
        "annotate",
        "annotate:*",
        "fit_rm:*",
        "crossval:*",
        "eval_rm",
        "heldout",
    ),
    summary="Write the evaluation as one self-contained HTML file.",
    once=True,
    decided_by=("name",),
    is_result=True,
)
FRONTIER = Stage(
    "frontier",
    1,
    reads=("sample", "annotate", "annotate:*", "eval_rm"),
    summary="Draw golden reward over KL for policies that need no training: best-of-N and tilts.",
    command="frontier",
    once=True,
    decided_by=("frontier", "evaluation.resamples", "seed"),
    on_request=True,
    is_result=True,
    has_checks=True,
)
SWEEP = Stage(
    "sweep",
    6,
    reads=("prompts:*", "sample:*", "annotate:*", "objective:*", "embed:*"),
    summary="Fit and judge a head for every combination of settings.",
    command="sweep",
    is_result=True,
    has_checks=True,
)
SWEEP_REPORT = Stage(
    "sweep_report",
    1,
    reads=("sweep",),
    summary="Show a sweep by each of its axes, with intervals over seeds and prompts.",
    command="sweep",
    is_result=True,
)
STUDY = Stage(
    "study",
    3,
    reads=("sweep",),
    summary="Judge the findings of a study on a sweep.",
    command="reproduce",
    is_result=True,
)

STAGES = (
    PROMPTS, SFT, SAMPLE, ANNOTATE, EMBED, FIT_RM, CROSSVAL, EVAL_RM, HELDOUT, REPORT, FRONTIER, SWEEP,
    SWEEP_REPORT, STUDY,
)  # fmt: skip
BY_NAME = {stage.name: stage for stage in STAGES}
