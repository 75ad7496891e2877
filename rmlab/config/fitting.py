"""The settings of what is fitted and how it is judged: fine-tuning, comparisons, ensembles, teachers,
validation, cross-validation, evaluation; and what all sections have in common."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

LEAST_BETA, MOST_BETA = 1e-2, 1e3  # of a tilt, in standard deviations of the reward
Component = dict[str, Any]  # the class that `_target_` names, with its parameters


class Section(BaseModel):
    """A section of the settings, which knows all its keys and is never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Sft(Section):
    method: Literal["none", "lora", "full"]
    rank: int = Field(ge=1)
    alpha: int = Field(ge=1)
    dropout: float = Field(ge=0, lt=1)
    learning_rate: float = Field(gt=0)
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    accumulate: int = Field(ge=1)
    max_tokens: int = Field(ge=8)
    precision: Literal["auto", "float32", "bfloat16"]
    output: Literal["merged", "adapter"]
    eval_fraction: float = Field(ge=0, lt=1)
    eval_steps: int | None = Field(ge=1)
    checkpoint_steps: int = Field(ge=1)
    devices: int = Field(ge=1)

    @model_validator(mode="after")
    def _fits(self) -> Sft:
        if self.method == "full" and self.output == "adapter":
            raise ValueError("output=adapter needs LoRA; set sft.output=merged or sft.method=lora")
        if self.batch_size % self.devices:
            raise ValueError(
                f"batch_size={self.batch_size} cannot be shared by devices={self.devices}; "
                "set sft.batch_size to a multiple of sft.devices"
            )
        return self


class ComparisonSettings(Section):
    n: int | None = Field(ge=1)
    n_validation: int | None = Field(ge=1)
    budget: Literal["train", "all"]
    rounds: int = Field(ge=1)
    candidates: int | None = Field(ge=1)

    @model_validator(mode="after")
    def _rounds_fit(self) -> ComparisonSettings:
        if self.n is None:
            if self.rounds > 1:
                raise ValueError("rounds of selection need a number to select; set comparisons.n")
            return self
        if self.rounds > self.n:
            raise ValueError(f"rounds={self.rounds} is more than n={self.n}; lower comparisons.rounds")
        if self.rounds > 1 and self.candidates is not None and self.candidates < self.n:
            raise ValueError(
                f"candidates={self.candidates} is less than n={self.n}, the comparisons to choose from them; "
                "raise comparisons.candidates or lower comparisons.n"
            )
        return self


class EnsembleSettings(Section):
    members: int = Field(ge=1)
    combine: Literal["mean", "min", "lcb"]
    k: float = Field(ge=0, allow_inf_nan=False)
    resample: bool


class Teacher(Section):
    """A weaker head, fitted on n comparisons, that labels those of the main head; n null: no teacher."""

    n: int | None = Field(ge=1)
    head: Component
    loss: Component
    answers: Literal["most_likely", "sampled"]
    temperature: float = Field(gt=0, allow_inf_nan=False)
    fit: Literal["student", "teacher", "ceiling"]

    @model_validator(mode="after")
    def _is_taught(self) -> Teacher:
        if self.n is None and self.fit != "student":
            raise ValueError(f"fit={self.fit} needs a teacher; set teacher.n, such as teacher.n=300")
        return self


class Validation(Section):
    fraction: float = Field(gt=0, lt=1)
    seed: int


class Crossval(Section):
    folds: int | None = Field(ge=2)
    seed: int


class Frontier(Section):
    """The policies without training that `rmlab frontier` draws: the N of best-of-N, the beta of tilts."""

    ns: list[int] | None
    betas: list[float]
    soft_betas: list[float]

    @field_validator("ns")
    @classmethod
    def _ns_draw_some(cls, values: list[int] | None) -> list[int] | None:
        if values is not None and not (values and all(n >= 1 for n in values)):
            raise ValueError("give numbers of responses to choose from, 1 or more, such as [2,4,8]")
        return values

    @field_validator("betas", "soft_betas")
    @classmethod
    def _betas_tilt(cls, values: list[float]) -> list[float]:
        if not all(LEAST_BETA <= beta <= MOST_BETA for beta in values):
            raise ValueError(
                f"e^(r / beta) needs every beta from {LEAST_BETA:g} to {MOST_BETA:,.0f}; for the best "
                "response alone, which beta 0 stands for, read best_of_n at the largest N"
            )
        return values


class Evaluation(Section):
    resamples: int = Field(ge=10)
    select_by: Literal[
        "likelihood", "annotator_accuracy", "best_of_n", "selected_quantile", "spearman", "accuracy"
    ]
    scoring: Literal["exact", "quick"] = "exact"
