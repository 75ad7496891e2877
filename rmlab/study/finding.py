"""A finding of a study as settings: its claims, the cells that are run for them, and the comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from rmlab.config.settings import Name, Overrides
from rmlab.errors import ConfigError
from rmlab.paths import shipped
from rmlab.study.verdict import Kind

FOLDER = "study"
Metric = Literal[
    "best_of_4", "best_of_16", "best_of_64", "best_of_largest",
    "spearman", "accuracy", "overestimate", "gao_alpha", "gao_beta",
]  # fmt: skip
_WITH_ZERO = ("overestimate", "gao_alpha", "gao_beta")  # may be compared with 0 instead of another place


def _texts(value: Any) -> list[str]:
    return [str(x) for x in (value if isinstance(value, list) else [value])]


Values = Annotated[list[str], BeforeValidator(_texts)]
Where = dict[str, Values]  # a place: the cells that have one of these values on each of these axes


class _FindingPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Claim(_FindingPart):
    """A comparison of places, in one of four forms; the value of a place is the mean metric of its cells.

    Difference: the effect is the sum over `plus` less the sum over `minus`.
    Shares: with `plus_of` and `minus_of` it is plus / plus_of - minus / minus_of: how much of its gain over a
    random choice each side keeps.
    Along an axis: `along` is a numeric axis of the grid, and a line is fitted through the differences at its
    values. The effect is the slope of that line, or, with `height_at`, its height at that value of the axis.
    Slope over places: the regression slope of the metric over the places of `slope`, on `by`.
    """

    statement: str
    plus: list[Where] = []
    minus: list[Where] = []
    plus_of: list[Where] = []
    minus_of: list[Where] = []
    along: str | None = None
    height_at: float | None = None
    slope: list[Where] = []
    by: Literal["mean_margin", "error_rate"] | None = None
    metric: Metric = "best_of_largest"
    kind: Kind = "greater"
    smallest: float = Field(gt=0)
    in_study: bool = True  # False: the claim is ours, or a later paper's

    @property
    def wheres(self) -> list[Where]:
        return [*self.plus, *self.minus, *self.plus_of, *self.minus_of, *self.slope]

    @model_validator(mode="after")
    def _compares(self) -> Claim:
        sides = len(self.plus), len(self.minus)
        if self.slope or self.by:
            if len(self.slope) < 3 or self.by is None or any(sides) or self.along:
                raise ValueError("`slope` needs 3 places or more and `by`, and nothing beside them")
        elif not self.plus or (sides[0] != sides[1] and not (not self.minus and self.metric in _WITH_ZERO)):
            raise ValueError("give as many `plus` as `minus`, or `slope` with 3 places or more and `by`")
        of = len(self.plus_of), len(self.minus_of)
        if any(of) and (self.along or {*sides, *of} != {1}):
            raise ValueError("shares need one place each in `plus`, `plus_of`, `minus` and `minus_of`")
        if self.height_at is not None and not self.along:
            raise ValueError("`height_at` is a value of the axis `along`; name that too")
        return self


class Finding(_FindingPart):
    """A file of conf/study/.

    name: that of its file. fixed: overrides for all cells; arms: name -> overrides; grid: axes as in a sweep;
    conditions: name -> overrides, each combined with every arm.
    setups: `all` runs the cells on every set-up of an embedding set (policy, golden reward and embedding),
    `one` on those that the command names, else on the first.
    x: the axis along the figure; `n` draws best-of-N against N, with `proxy` also what heads expect.
    at: the cells that the figure shows.
    """

    name: Name
    title: str
    question: str
    claim: str
    source: str
    fixed: list[Overrides] = []
    arms: dict[str, Overrides] = Field(min_length=1)
    grid: list[str] = []
    conditions: dict[str, str] = {}
    claims: list[Claim] = Field(min_length=1)
    setups: Literal["all", "one"] = "one"
    x: str = "arm"
    at: Where = {}
    proxy: bool = False
    note: str = ""
    order: int = 0
    on_request: bool = False  # run only if named, as not all data have what it needs

    @model_validator(mode="after")
    def _arms_are_known(self) -> Finding:
        for claim in self.claims:
            for where in claim.wheres:
                for arm in where.get("arm", []):
                    if arm not in self.arms:
                        raise ValueError(f"there is no arm {arm}; give one of: {', '.join(self.arms)}")
        return self


def load_findings(only: Sequence[str] = (), config_dir: Path | None = None) -> list[Finding]:
    """The findings of conf/study/ and of config_dir/study/, sorted; a file of the latter replaces one of the
    former. only: the names of those wanted; findings `on_request` are loaded only so."""
    folders = [shipped("conf") / FOLDER, *([config_dir / FOLDER] if config_dir else [])]
    files = {file.stem: file for folder in folders for file in sorted(folder.glob("*.yaml"))}
    unknown = [name for name in only if name not in files]
    if unknown:
        raise ConfigError(f"no finding is called {unknown[0]}; there is: {', '.join(sorted(files))}")
    read = [_read(file) for name, file in files.items() if not only or name in only]
    found = [finding for finding in read if only or not finding.on_request]
    return sorted(found, key=lambda finding: (finding.order, finding.name))


def _read(file: Path) -> Finding:
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError("it is not a mapping of keys to values")
        return Finding.model_validate({"name": file.stem, **values})
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        reason = f"{where}: {problem['msg'].removeprefix('Value error, ')}".lstrip(": ")
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
    raise ConfigError(f"{file}: {reason}")
