"""Experiments from Python: their settings, running them, and what a run has made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rmlab.api.session import checked, session
from rmlab.api.tables import html_table, read
from rmlab.commands.run import outcomes_of, planned, report_file
from rmlab.config.hydra import load_settings
from rmlab.config.settings import Settings
from rmlab.errors import ConfigError, InputError
from rmlab.pipeline.run import Outcome
from rmlab.pipeline.stages import EVAL_RM, FIT_RM, REPORT, STAGES, Stage
from rmlab.reward.model import RewardModel
from rmlab.storage.artifact import Artifact


def settings(*overrides: str, config_dir: str | Path | None = None) -> Settings:
    """Returns the settings that these overrides make, such as "experiment=demo", "head=mlp".

    config_dir: a folder with settings of your own, laid out like conf/.
    """
    return load_settings(*checked(overrides, config_dir))


def run(
    *overrides: str,
    stage: str | None = None,
    dry_run: bool = False,
    force: bool = False,
    progress: bool = True,
    config_dir: str | Path | None = None,
) -> RunResult:
    """Runs all stages of an experiment, as `rmlab run` does: what is done is skipped, what was begun goes on.

    stage: run only this one, such as "fit-rm", whose inputs must be done; dry_run: tell what would be done;
    force: do again what is done; progress: show how far it is.
    """
    texts, folder = checked(overrides, config_dir)
    only = None if stage is None else _stage(stage)
    with session(only.typed if only else "run", texts, folder) as command:
        prepared = planned(only, texts, folder, force)
        outcomes = outcomes_of(prepared, only, dry_run, force, command, quiet=not progress)
    problems = tuple(map(str, prepared.problems.errors))
    return RunResult(tuple(outcomes), prepared.settings, problems)


def _stage(name: str) -> Stage:
    typed = [stage.typed for stage in STAGES if not stage.command]
    for stage in STAGES:
        if not stage.command and name in (stage.typed, stage.name):
            return stage
    raise ConfigError(f"there is no stage {name}; give one of {', '.join(typed)}")


@dataclass(frozen=True, eq=False)
class RunResult:
    """The outcome of a run: what it has made, or would make.

    outcomes: one for each artifact, in the order of the stages; settings: those of the experiment; problems:
    of a dry run, what would stop it.
    """

    outcomes: Sequence[Outcome]
    settings: Settings
    problems: Sequence[str] = ()

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """The artifacts that are there by stage and name, such as "fit_rm/linear-bradley_terry"."""
        return {f"{o.node.stage}/{o.node.name}": o.artifact for o in self.outcomes if o.artifact}

    @property
    def paths(self) -> dict[str, Path]:
        """The folder of each artifact, by stage and name, whether it is there or not."""
        return {f"{o.node.stage}/{o.node.name}": o.node.folder for o in self.outcomes}

    def artifact(self, name: str) -> Artifact:
        """The artifact of a stage, or of "stage/name" where the run has several of it."""
        found = self.artifacts
        wanted = name.replace("-", "_") if "/" not in name else name
        fits = [key for key in found if key in (name, wanted) or key.startswith(f"{wanted}/")]
        if len(fits) != 1:
            which = f"{len(fits)} artifacts of {name}" if fits else f"no artifact {name}"
            raise InputError(f"this run has {which}; name one of {', '.join(fits or found) or 'none'}")
        return found[fits[0]]

    @property
    def report(self) -> Path | None:
        """The report, an HTML file to open in a browser; None if this run writes none."""
        made = [o for o in self.outcomes if o.node.stage == REPORT.name and o.artifact]
        return report_file(made[0].node) if made else None

    @property
    def evaluation(self) -> pd.DataFrame:
        """The metrics of heads and controls on each split, a row for each."""
        return read(self.artifact(EVAL_RM.name), "metrics")

    def reward_model(self, name: str | None = None, **how: Any) -> RewardModel:
        """The reward model of a head. name: which one; without it the head that was chosen on validation
        prompts, or the only one. how: device, base_model and so on, as for RewardModel.load."""
        if name is None:
            judged = [a for key, a in self.artifacts.items() if key.startswith(f"{EVAL_RM.name}/")]
            name = judged[0].manifest.metrics["chosen"] if judged else None
        place = FIT_RM.name if name is None else f"{FIT_RM.name}/{name}"
        return RewardModel.from_artifact(self.artifact(place).path, **how)

    def to_pandas(self) -> pd.DataFrame:
        """A row for each artifact: its stage, name, state, rows, seconds and folder."""
        told = [outcome.to_json() for outcome in self.outcomes]
        return pd.DataFrame(told)[["stage", "name", "state", "rows", "seconds", "path"]]

    def __repr__(self) -> str:
        states = self.to_pandas()["state"].value_counts()
        told = ", ".join(f"{n} {state}" for state, n in states.items())
        return f"RunResult({self.settings.name}: {told})"

    def _repr_html_(self) -> str:
        report = f"; report: {self.report}" if self.report else ""
        return html_table(self.to_pandas(), f"{self!r}{report}")
