"""Sweeps from Python, and the results of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rmlab.api.session import checked, session
from rmlab.api.tables import html_table, read
from rmlab.commands.sweep import n_failed, planned_sweep, reported, swept
from rmlab.config.grid import points
from rmlab.errors import ConfigError, InputError
from rmlab.models.compute import available_cores
from rmlab.storage.artifact import Artifact


def sweep(
    *overrides: str,
    workers: int = 0,
    force: bool = False,
    progress: bool = True,
    config_dir: str | Path | None = None,
) -> SweepResult:
    """Fits and judges a head for every combination of settings, as `rmlab sweep` does.

    Commas make a grid: sweep("experiment=demo", "head=linear,mlp", "seed=0,1,2"), on what `run` has made.
    workers: processes of one thread each, 0 for one for each core; force: run cells that are done again;
    progress: show how far it is.
    """
    texts, folder = checked(overrides, config_dir)
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 0:
        raise ConfigError(f"workers must be a number from 0, got {workers!r}")
    with session("sweep", texts, folder) as command:
        plan = planned_sweep(points(texts, folder), workers or available_cores(), force, folder)
        outcome = swept(plan, command, quiet=not progress)
        page = reported(plan.node, force, command)
    assert outcome.artifact is not None and page is not None
    return SweepResult(outcome.artifact, tuple(plan.node.sweep_grid.axes), page.path / "report.html")


_METRICS = (
    "validation_best_of_n",
    "test_best_of_n",
    "test_spearman",
    "test_accuracy",
    "error_rate",
    "seconds",
)


@dataclass(frozen=True, eq=False)
class SweepResult:
    """The results of a sweep. artifact: its folder and manifest; axes: the settings that were swept over.

    report: the page that shows the sweep by each axis, with intervals over seeds and prompts.
    """

    artifact: Artifact
    axes: Sequence[str]
    report: Path

    @property
    def path(self) -> Path:
        return self.artifact.path

    @property
    def results(self) -> pd.DataFrame:
        """A row for each cell and control; a cell that failed has its reason in `reason`."""
        return read(self.artifact, "results")

    @property
    def n_failed(self) -> int:
        """The number of cells that failed; the same call tries them again."""
        return n_failed(self.artifact)

    def means(self, *by: str) -> pd.DataFrame:
        """The means of the metrics over the cells that share these axes, best first.

        by: names of axes, compared on equal terms: of the other settings only those combinations count that
        have a result at each value of these axes. With all axes but the seed, or without any, a row for each
        combination that has a result.
        """
        if unknown := set(by) - set(self.axes):
            raise InputError(f"{min(unknown)} is no axis of this sweep; give some of {', '.join(self.axes)}")
        axes = list(dict.fromkeys(by)) or [axis for axis in self.axes if axis != "seed"] or list(self.axes)
        heads = self.results.query("kind == 'head'")
        done = heads[heads["state"] == "ok"]
        others = [axis for axis in self.axes if axis not in axes]
        if set(others) - {"seed"}:
            places = heads.groupby(axes, dropna=False).ngroups
            done = done[done.groupby(others, dropna=False)["cell"].transform("nunique") == places]
            if done.empty:
                raise InputError(
                    f"no combination of the other settings has a result at every value of {', '.join(axes)}; "
                    "means() has all combinations"
                )
        grouped = done.groupby(axes, dropna=False)
        found = grouped[list(_METRICS)].mean().assign(cells=grouped.size()).reset_index()
        return found.sort_values("validation_best_of_n", ascending=False, ignore_index=True)

    def __repr__(self) -> str:
        failed = f", {self.n_failed} failed" if self.n_failed else ""
        return f"SweepResult({self.artifact.manifest.config['n_cells']} cells{failed}: {self.path})"

    def _repr_html_(self) -> str:
        return html_table(self.means(), repr(self))
