"""Public benchmarks from Python, and the results of one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rmlab.api.session import checked, session
from rmlab.api.tables import html_table
from rmlab.commands.bench import Benched, BenchOptions, benched, document, result_rows
from rmlab.commands.judges import HeadOptions, judge_of, judge_of_model
from rmlab.errors import ConfigError
from rmlab.reward.model import RewardModel
from rmlab.reward.scored import Long
from rmlab.suites.lines import ScoredLine


def bench(
    suite: str,
    source: str | Path,
    *overrides: str,
    head: RewardModel | str | Path | None = None,
    split: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    long: Long = "cut",
    progress: bool = True,
    config_dir: str | Path | None = None,
) -> BenchResult:
    """Judges a head, or the golden reward that overrides name, on a benchmark, as `rmlab bench` does.

    suite: rewardbench, rewardbench2, rm-bench or judgebench; source: a file, the folder of a dataset, or its
    name in the local cache; head: a reward model or its folder; split: of a dataset; limit: judge so many
    prompts, drawn by seed; long: cut or refuse texts that are too long.
    """
    texts, folder = checked(overrides, config_dir)
    if long not in ("cut", "refuse"):
        raise ConfigError(f"long must be cut or refuse, got {long}")
    how = BenchOptions(suite, split, limit, seed, None, long)
    with session("bench", ["--suite", suite, str(source), *texts], folder):
        if isinstance(head, RewardModel):
            found = benched(str(source), lambda: judge_of_model(head, texts), how, quiet=not progress)
        else:
            options = None if head is None else HeadOptions(Path(head).expanduser())
            found = benched(str(source), lambda: judge_of(options, texts, folder), how, quiet=not progress)
    return BenchResult(found, how)


@dataclass(frozen=True, eq=False, repr=False)
class BenchResult:
    """The results of a benchmark."""

    found: Benched
    how: BenchOptions

    @property
    def overall(self) -> ScoredLine:
        """The overall result, with its interval."""
        return self.found.results.overall

    @property
    def scores(self) -> pd.DataFrame:
        """A row for each result: subsets, sections and levels, and last the overall one."""
        return pd.DataFrame(self.facts["scores"])

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of the benchmark with their scores, in the suite's own shape."""
        return result_rows(self.found)

    @property
    def facts(self) -> dict[str, Any]:
        """All that `rmlab bench --json` prints: what was judged, what was cut, notes."""
        return document(self.found, self.how)

    def __repr__(self) -> str:
        line, suite = self.overall, self.found.suite.name
        ends = "" if line.low is None else f" [{line.low:.3f}, {line.high:.3f}]"
        return f"BenchResult({suite}: {line.score:.3f}{ends} on {line.rows:,} rows)"

    def _repr_html_(self) -> str:
        return html_table(self.scores.drop(columns="kind"), repr(self))
