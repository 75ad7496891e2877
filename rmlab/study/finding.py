"""A finding of a study as settings: what it claims, the cells that can tell, and what is compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from rmlab.errors import ConfigError
from rmlab.settings import Name, Overrides
from rmlab.shipped import shipped
from rmlab.study.verdict import Kind

FOLDER = "study"
Metric = Literal[
    "best_of_4", "best_of_16", "best_of_64", "best_of_largest",
    "spearman", "accuracy", "overestimate", "late_gain",
]  # fmt: skip


_DIFFERENCES = ("overestimate", "late_gain")  # whose 0 means something


def _texts(value: Any) -> list[str]:
    return [str(x) for x in (value if isinstance(value, list) else [value])]


Values = Annotated[list[str], BeforeValidator(_texts)]
Where = dict[str, Values]  # axis, or arm -> one of these values; cells that have others are no part of it


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Claim(_Part):
    """plus, minus: the effect is the sum over `plus` less that over `minus`, each the mean of its cells;
    slope: the effect is the regression slope of the metric over these, on `by`.

    expected: what the study found, in words.
    """

    statement: str
    plus: list[Where] = []
    minus: list[Where] = []
    slope: list[Where] = []
    by: Literal["mean_margin", "error_rate"] | None = None
    metric: Metric = "best_of_largest"
    kind: Kind = "greater"
    smallest: float = Field(gt=0)
    in_study: bool = True  # False: of ours, or of a later paper

    @model_validator(mode="after")
    def _compares(self) -> Claim:
        is_slope = len(self.slope) >= 3 and self.by is not None and not (self.plus or self.minus)
        is_even = len(self.plus) == len(self.minus) or (not self.minus and self.metric in _DIFFERENCES)
        is_difference = len(self.plus) > 0 and is_even and not self.slope and self.by is None
        if not (is_slope or is_difference):
            raise ValueError("give as many `plus` as `minus`, or `slope` with 3 places or more and `by`")
        return self


class Finding(_Part):
    """name: of its file. fixed: overrides of all cells; arms: name -> overrides; grid: axes as in a sweep;
    conditions: name -> overrides, each with every arm.

    x: the axis that the figure draws along; or n, best-of-N against N, with `proxy` by the heads' own
    scores too; at: the cells that it draws.
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
    x: str = "arm"
    at: Where = {}
    proxy: bool = False
    note: str = ""
    order: int = 0

    @model_validator(mode="after")
    def _arms_are_known(self) -> Finding:
        for claim in self.claims:
            for where in (*claim.plus, *claim.minus, *claim.slope):
                for arm in where.get("arm", []):
                    if arm not in self.arms:
                        raise ValueError(f"arm {arm} is none of: {', '.join(self.arms)}")
        return self


def load_findings(only: Sequence[str] = (), config_dir: Path | None = None) -> list[Finding]:
    """Those of conf/study/ and of config_dir/study/, of which the latter wins, in their order; only: some."""
    folders = [shipped("conf") / FOLDER, *([config_dir / FOLDER] if config_dir else [])]
    files = {file.stem: file for folder in folders for file in sorted(folder.glob("*.yaml"))}
    unknown = [name for name in only if name not in files]
    if unknown:
        raise ConfigError(f"no finding is called {unknown[0]}; there is: {', '.join(sorted(files))}")
    found = [_read(file) for name, file in files.items() if not only or name in only]
    return sorted(found, key=lambda finding: (finding.order, finding.name))


def _read(file: Path) -> Finding:
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError("it is no mapping of keys to values")
        return Finding.model_validate({"name": file.stem, **values})
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        reason = f"{where}: {problem['msg'].removeprefix('Value error, ')}".lstrip(": ")
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
    raise ConfigError(f"{file}: {reason}")
