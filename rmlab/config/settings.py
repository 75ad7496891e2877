"""The types and limits of all settings. Their default values, each with a comment, are in conf/."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)

from rmlab.config.fitting import (
    ComparisonSettings,
    Component,
    Crossval,
    EnsembleSettings,
    Evaluation,
    Frontier,
    Section,
    Sft,
    Teacher,
    Validation,
)
from rmlab.config.implied import fill_in
from rmlab.paths import home_path, nearest

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=80)]
ALLOW_ENV = "allow_env"
# What only the command line may set, and what each does.
GRANTS = {
    "allow_modules": "lets code run",
    "trust_remote_code": "lets code run",
    ALLOW_ENV: "lets settings read environment variables",
}


def _grants_nothing(overrides: str) -> str:
    for grant, what in GRANTS.items():
        if grant in overrides:
            raise ValueError(f"{grant} {what}; give it on the command line, not in a file")
    return overrides


Overrides = Annotated[str, AfterValidator(_grants_nothing)]
# a part of a release, "NAME: overrides"
Part = Annotated[Overrides, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.]{0,59}:")]
TemplateName = Literal["plain", "chat", "hh"]
FormName = Literal["auto", "prompts", "hh", "preference", "scored", "ranking", "unpaired", "votes", "arrays"]
Unusable = Literal["error", "drop"]
COLUMN_NAMES = (  # of the forms of data; a file may name them otherwise
    "prompt", "messages", "prompt_id", "split", "group", "response", "response_id", "score", "reward",
    "chosen", "rejected", "score_chosen", "score_rejected", "responses", "ranks", "scores", "completion",
    "label", "response_a", "response_b", "votes", "votes_a", "votes_b", "votes_tie",
)  # fmt: skip


def given_columns(columns: Any) -> Any:
    """The columns that have another name in the file, without those that have their own (null)."""
    if not isinstance(columns, dict):
        return columns
    if unknown := [name for name in columns if name not in COLUMN_NAMES]:
        raise ValueError(f"no form has a column {unknown[0]}; there is: {', '.join(COLUMN_NAMES)}")
    return {name: theirs for name, theirs in columns.items() if theirs is not None}


Columns = Annotated[dict[str, str], BeforeValidator(given_columns)]  # the form's name -> the file's
LARGEST_SEED = 2**63 - 1
UNIFORM = "rmlab.selection.by_score.Uniform"  # the selection that draws at random


class PromptSettings(Section):
    path: str
    template: TemplateName
    n_train: int | None = Field(ge=1)
    n_test: int | None = Field(ge=1)
    test_fraction: float = Field(ge=0, le=1)
    duplicates: Literal["error", "merge"]
    form: FormName = "prompts"
    unusable: Unusable = "error"
    demonstrations: str | None = None
    columns: Columns = Field(default_factory=dict)


class Demonstrations(Section):
    path: str | None
    n: int | None = Field(ge=1)


class Sampling(Section):
    n_train: int = Field(ge=1)
    n_test: int = Field(ge=1)
    temperature: float = Field(ge=0)
    top_p: float = Field(gt=0, le=1)
    max_new_tokens: int = Field(ge=1)
    stop: list[str]
    max_prompt_tokens: int | None = Field(ge=1)
    long_prompts: Literal["drop", "cut"]


class SetChoice(Section):
    policy: str | None
    test_policy: str | None
    reward: str | None
    embedder: str | None


class Release(Section):
    """The parts and licence of a released embedding set; policies, embedders: a list of "NAME: overrides"."""

    policies: list[Part]
    embedders: list[Part]
    license: str | None = Field(min_length=1)
    license_file: str | None
    description: str | None


class Settings(Section):
    name: Name
    input: str | None
    form: FormName
    unusable: Unusable
    columns: Columns
    model: str = Field(min_length=1)
    revision: str | None
    dtype: Literal["auto", "float32", "bfloat16", "float16"]
    trust_remote_code: bool
    prompts: PromptSettings
    demonstrations: Demonstrations
    sft: Sft
    sampling: Sampling
    sampler: Component
    golden: dict[Name, Component] = Field(min_length=1)
    set: SetChoice
    release: Release
    label_golden: str | None
    objectives: dict[Name, float] | None = None
    embedder: Component
    comparisons: ComparisonSettings
    pairing: Component
    noise: Component
    selection: Component
    head: Component
    ensemble: EnsembleSettings
    loss: Component
    centring: float = Field(ge=0, allow_inf_nan=False)
    teacher: Teacher
    validation: Validation
    crossval: Crossval
    evaluation: Evaluation
    frontier: Frontier
    seed: int = Field(ge=0, le=LARGEST_SEED)
    generation_seed: int = Field(ge=0, le=LARGEST_SEED)
    arms: list[Overrides]
    allow_modules: list[str]
    allow_env: bool
    out: str = Field(min_length=1)
    device: str
    workers: int | str
    prompts_per_shard: int = Field(ge=1)
    track: Component

    @model_validator(mode="before")
    @classmethod
    def _with_what_follows(cls, values: Any) -> Any:
        return fill_in(values) if isinstance(values, dict) else values

    @field_validator("objectives", mode="before")
    @classmethod
    def _objectives_are_weights_by_name(cls, value: Any) -> Any:
        if value is not None and not (isinstance(value, dict) and value):
            raise ValueError("give golden rewards with their weights, such as {sentiment:1,length:-0.2}")
        return value

    @field_validator("objectives")
    @classmethod
    def _objectives_weigh(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        if value is None:
            return value
        if not all(weight == 0 or 1e-6 <= abs(weight) <= 1e6 for weight in value.values()):
            raise ValueError(
                "weights must be finite numbers, each 0 or from 1e-6 to 1e6 in size; only their ratios count"
            )
        if not any(value.values()):
            raise ValueError("all weights are 0; give at least one another weight")
        return value

    @field_validator("out")
    @classmethod
    def _out_may_be_a_folder(cls, value: str) -> str:
        """Refuses a path that is, or lies under, a file."""
        there = nearest(home_path(value))
        if os.path.lexists(there) and not os.path.isdir(there):  # noqa: PTH112
            raise ValueError(f"{there} is a file; give a folder")
        return value

    @field_validator("workers", mode="plain")
    @classmethod
    def _workers_are_some(cls, value: Any) -> int | str:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if value == "auto" or (is_number and value >= 1):
            return value
        raise ValueError("give a number of worker processes, 1 or more, or auto")

    @model_validator(mode="after")
    def _fine_tuning_has_demonstrations(self) -> Settings:
        if self.sft.method != "none" and self.demonstrations.path is None:
            raise ValueError(
                f"sft={self.sft.method} learns from demonstrations, and there are none for these prompts; "
                "give them with demonstrations=file demonstrations.path=FILE, or leave sft out"
            )
        return self

    @model_validator(mode="after")
    def _label_golden_is_listed(self) -> Settings:
        if self.label_golden is not None and self.label_golden not in self.golden:
            names = ", ".join(self.golden)
            raise ValueError(f"label_golden={self.label_golden} is not one of the golden rewards: {names}")
        return self

    @model_validator(mode="after")
    def _objectives_are_golden_rewards(self) -> Settings:
        if unknown := [name for name in self.objectives or {} if name not in self.golden]:
            names = ", ".join(self.golden)
            raise ValueError(
                f"objectives names {unknown[0]}, which is not one of the golden rewards: {names}; "
                f"list it too: 'golden=[{','.join([*self.golden, unknown[0]])}]'"
            )
        if self.objectives and self.teacher.n is not None:
            raise ValueError(
                "a teacher answers in the place of one golden reward's annotators; leave out objectives, "
                "or set teacher.n=null"
            )
        return self

    @property
    def budgets(self) -> tuple[int | None, int | None]:
        """The numbers of comparisons for training and for validation; None stands for all there are."""
        how = self.comparisons
        if how.budget == "train":
            return how.n, how.n_validation
        if how.n is None:
            return None, None
        n_validation = max(1, round(how.n * self.validation.fraction))
        return how.n - n_validation, n_validation

    @model_validator(mode="after")
    def _budget_is_enough(self) -> Settings:
        how, (n_train, n_validation) = self.comparisons, self.budgets
        if n_train is not None and n_train < how.rounds:
            raise ValueError(
                f"budget=all leaves {n_train} of n={how.n} comparisons for training, and {n_validation} for "
                "validation; raise comparisons.n, or lower comparisons.rounds or validation.fraction"
            )
        return self

    @model_validator(mode="after")
    def _selection_has_rounds(self) -> Settings:
        """Active selection needs two rounds: the first is drawn at random, as there is no head yet."""
        if self.comparisons.rounds == 1 and self.selection.get("_target_") != UNIFORM:
            raise ValueError(
                "a selection other than uniform needs rounds to choose in; "
                "set comparisons.rounds to 2 or more, such as comparisons.rounds=5, or selection=uniform"
            )
        return self

    @model_validator(mode="after")
    def _folds_are_of_one_policy(self) -> Settings:
        if self.crossval.folds and self.set.test_policy not in (None, self.set.policy):
            raise ValueError(
                "crossval.folds fits heads on train and test prompts together, but set.test_policy takes "
                "their responses from two policies; leave out one of the two settings"
            )
        return self

    @property
    def labelling(self) -> str:
        """The name of the golden reward that labels comparisons and judges heads."""
        return self.label_golden or next(iter(self.golden))
