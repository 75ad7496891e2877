"""Fits gradient-boosted trees, as a classifier of single responses or by the Bradley-Terry loss of pairs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from scipy.special import expit
from torch.nn.functional import softplus

from rmlab.comparisons import Comparisons
from rmlab.errors import ConfigError
from rmlab.heads.base import Centre, FitData, FitLog, check_inputs, weighted
from rmlab.heads.fitted.trees import TreesHead, lightgbm

if TYPE_CHECKING:
    from rmlab.losses.base import Loss

LARGEST_SEED = 2**31 - 1  # LightGBM's seed is a signed 32-bit integer
BIN_ROWS = 20_000  # responses from which the bins of a feature are computed
PROBES = 8
BRADLEY_TERRY = "bradley_terry"
ROUNDING = 1e-9  # of a loss
Objective = Literal["classification", "unpaired", "bradley_terry"]


@dataclass(frozen=True)
class Trees:
    """Fits LightGBM's binary classifier to winners and losers, or to unpaired answers; scores are log-odds.

    With loss=bradley_terry trees are grown on the derivatives of the loss of pairs instead: a row is a
    response, and the difference of two scores is the log-odds that the first is preferred.
    Training stops after early_stopping_rounds trees without a lower validation loss, and the best number of
    trees is kept; 0 never stops early and needs no validation. One thread, the default, gives the same bits
    everywhere. The version of LightGBM is part of a head's identity: another one may grow other trees.
    """

    name: ClassVar[str] = "trees"
    packages: ClassVar[tuple[str, ...]] = ("lightgbm",)
    needs: ClassVar[tuple[str, ...]] = ("lightgbm",)
    has_features: ClassVar[bool] = False

    n_estimators: int = 500
    learning_rate: float = 0.05
    num_leaves: int = 15
    min_child_samples: int = 20
    feature_fraction: float = 0.3
    l2: float = 1.0
    early_stopping_rounds: int = 30
    max_bin: int = 255
    num_threads: int = 1
    centre: Centre = "none"

    def __post_init__(self) -> None:
        for name, least in (
            ("n_estimators", 1),
            ("num_leaves", 2),
            ("min_child_samples", 1),
            ("l2", 0),
            ("early_stopping_rounds", 0),
            ("max_bin", 2),
            ("num_threads", 0),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be >= {least}, got {getattr(self, name)}")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be > 0, got {self.learning_rate}")
        if not 0 < self.feature_fraction <= 1:
            raise ValueError(f"feature_fraction must be > 0 and <= 1, got {self.feature_fraction}")

    def check_fits(self, loss: Loss, comparisons: Comparisons) -> None:
        """Raises ConfigError for a loss or comparisons that trees do not fit."""
        _check_size(comparisons)
        objective_of(loss, comparisons)

    def fit(self, data: FitData, loss: Loss, seed: int) -> tuple[TreesHead, FitLog]:
        """Fits the trees for the objective that the loss has."""
        lgb = lightgbm()
        needed_for = "stopping the trees early (or set early_stopping_rounds=0)"
        check_inputs(data, loss, needed_for if self.early_stopping_rounds else "")
        for comparisons in (data.train, data.validation):
            _check_size(comparisons)
        history: dict[str, dict[str, list[float]]] = {}
        if objective_of(loss, data.train) == "bradley_terry":
            booster = self._boost_pairs(lgb, data, seed, history)
        else:
            booster = self._boost(lgb, data, seed, history)
        best = booster.best_iteration if self.early_stopping_rounds else self.n_estimators
        head = TreesHead(model=booster.model_to_string(num_iteration=best), n_threads=self.num_threads)
        return head, self._log(data.train, history, best)

    def _boost(self, lgb: Any, data: FitData, seed: int, history: dict[str, dict[str, list[float]]]) -> Any:
        """Fits the classifier of single responses."""
        sides = [Labelled.of(side) for side in (data.train, data.validation) if len(side)]
        parameters = self._parameters(seed) | {"objective": "binary", "metric": "binary_logloss"}
        sets = _datasets(lgb, data, [side.rows for side in sides], parameters)
        for binned, side in zip(sets, sides, strict=True):
            binned.set_label(side.label).set_weight(side.weight)
        return self._train(lgb, parameters, sets, history)

    def _boost_pairs(
        self, lgb: Any, data: FitData, seed: int, history: dict[str, dict[str, list[float]]]
    ) -> Any:
        """Fits the Bradley-Terry loss of pairs."""
        sides = [PairLoss.of(side) for side in (data.train, data.validation) if len(side)]

        def derivatives(scores: np.ndarray, _: Any) -> tuple[np.ndarray, np.ndarray]:
            return sides[0].derivatives(scores)

        def loss(scores: np.ndarray, of: Any) -> tuple[str, float, bool]:
            return BRADLEY_TERRY, sides[0 if of is sets[0] else 1].loss(scores), False

        # LightGBM fails where the filter leaves no feature.
        parameters = self._parameters(seed) | {"metric": "None", "feature_pre_filter": False}
        sets = _datasets(lgb, data, [side.rows for side in sides], parameters)
        return self._train(lgb, parameters | {"objective": derivatives}, sets, history, loss)

    def _train(
        self,
        lgb: Any,
        parameters: dict[str, Any],
        sets: list[Any],
        history: dict[str, dict[str, list[float]]],
        loss: Callable[[np.ndarray, Any], tuple[str, float, bool]] | None = None,
    ) -> Any:
        """Runs LightGBM. sets: the training responses, then those for validation if there are any."""
        callbacks = [lgb.record_evaluation(history)]
        if self.early_stopping_rounds:
            callbacks.append(lgb.early_stopping(self.early_stopping_rounds, verbose=False))
        return lgb.train(
            parameters,
            sets[0],
            num_boost_round=self.n_estimators,
            valid_sets=sets,
            valid_names=["train", "validation"][: len(sets)],
            feval=loss,
            callbacks=callbacks,
        )

    def _parameters(self, seed: int) -> dict[str, Any]:
        """LightGBM's parameters, but for the objective."""
        return {
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_child_samples": self.min_child_samples,
            "feature_fraction": self.feature_fraction,
            "max_bin": self.max_bin,
            "bin_construct_sample_cnt": BIN_ROWS,
            "enable_bundle": False,  # only helps sparse features; the search is a quarter of the set-up
            "lambda_l2": self.l2,
            "deterministic": True,
            "force_col_wise": True,
            "num_threads": self.num_threads,
            "seed": seed % LARGEST_SEED,
            "verbosity": -1,
        }

    def _log(self, train: Comparisons, history: dict[str, dict[str, list[float]]], best: int) -> FitLog:
        """Logs the loss of each tree and split.

        The classification loss of a pair is twice that of a response.
        """
        log = FitLog(chosen={"n_estimators": best})
        for split, metrics in history.items():
            for name, values in metrics.items():
                times = 1 if name == BRADLEY_TERRY else train.items.shape[1]
                for index, value in enumerate(values):
                    log.add(index + 1, index + 1, split, times * value)
        last = next(iter(history["train"].values()))[best - 1]
        if last > loss_without_split(train) - ROUNDING:
            log.converged = False
            log.message = "the trees made no split: all scores are equal; lower min_child_samples"
        elif self.early_stopping_rounds and best == self.n_estimators:
            log.converged = False
            log.message = f"trees not converged: the best was the last of {best}; raise n_estimators"
        return log


def _check_size(comparisons: Comparisons) -> None:
    """Raises ConfigError for comparisons of more than two responses."""
    size = 1 if comparisons.kind == "unpaired" else 2
    if len(comparisons) and comparisons.items.shape[1] != size:
        raise ConfigError(
            f"head=trees compares 2 responses, got {comparisons.items.shape[1]}; "
            "set pairing to pairs, or use head=linear or head=mlp"
        )


def objective_of(loss: Loss, train: Comparisons) -> Objective:
    """Recognises the loss by its values on a few comparisons; raises ConfigError if trees cannot fit it.

    Values are compared, not names, so that a variant such as one with class weights is not ignored silently.
    """
    # The first few, and the extremes of share, so that the weight of either class is noticed.
    few = np.arange(min(PROBES, len(train)))
    probe = train.take(np.union1d(few, [np.argmin(train.share), np.argmax(train.share)]))
    scores = torch.linspace(-3.0, 2.0, probe.items.size, dtype=torch.float64).reshape(probe.items.shape)
    scores = scores.roll(1)  # not all margins the same
    given = loss(scores, probe)
    for name, expected in _expected(scores, probe).items():
        if given.shape == expected.shape and torch.allclose(given.double(), expected, rtol=1e-6):
            return name
    if train.kind == "unpaired":
        raise ConfigError("head=trees fits loss=unpaired without class weights only; add loss=unpaired")
    centred = " centring=0" if getattr(loss, "eta", 0) else ""
    raise ConfigError(
        "head=trees fits loss=classification and loss=bradley_terry only; "
        f"add loss=classification{centred} or loss=bradley_terry{centred}"
    )


def _expected(scores: torch.Tensor, probe: Comparisons) -> dict[Objective, torch.Tensor]:
    """Returns the values of each loss that trees can fit, [n].

    unpaired: -share log σ(s) - (1 - share) log σ(-s); classification: -log σ(s_w) - log σ(-s_l);
    bradley_terry: -log σ(s_w - s_l).
    """
    good, bad = softplus(-scores), softplus(scores)
    if probe.kind == "unpaired":
        share = torch.from_numpy(np.asarray(probe.share, dtype=np.float64))
        return {"unpaired": share * good[:, 0] + (1 - share) * bad[:, 0]}
    return {
        "classification": good[:, 0] + bad[:, 1],
        "bradley_terry": softplus(scores[:, 1] - scores[:, 0]),
    }


@dataclass(frozen=True, eq=False)
class PairLoss:
    """The Bradley-Terry loss of pairs as a function of the scores of the compared responses.

    rows: [r] of the pool; items: [n, 2] positions in rows, the preferred one first; weight: [n].
    """

    rows: np.ndarray
    items: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, comparisons: Comparisons) -> PairLoss:
        counted = weighted(comparisons)
        return cls(*counted.distinct_rows(), counted.weight)

    def loss(self, scores: np.ndarray) -> float:
        """Returns sum(weight * -log σ(s_w - s_l)) / sum(weight). scores: [r]."""
        return float(np.average(np.logaddexp(0, -self._margin(scores)), weights=self.weight))

    def derivatives(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the gradient of sum(weight * loss), [r], and a diagonal upper bound of its Hessian, [r].

        With p = σ(s_l - s_w) a pair adds -p to the gradient of its winner and p to that of its loser. Its
        Hessian is p(1-p) [[1, -1], [-1, 1]] with the largest eigenvalue 2p(1-p), so each gets 2p(1-p). With
        the diagonal p(1-p), a step that moves both would be twice too long.
        """
        wrong = expit(-self._margin(scores))
        gradient, hessian = np.zeros(len(scores)), np.zeros(len(scores))
        for column, sign in ((0, -1.0), (1, 1.0)):
            gradient += np.bincount(self.items[:, column], sign * self.weight * wrong, len(scores))
            hessian += np.bincount(self.items[:, column], 2 * self.weight * wrong * (1 - wrong), len(scores))
        return gradient, hessian

    def _margin(self, scores: np.ndarray) -> np.ndarray:
        return scores[self.items[:, 0]] - scores[self.items[:, 1]]


@dataclass(frozen=True, eq=False)
class Labelled:
    """Single responses for a classifier. rows: [r] of the pool, which may repeat; label: [r] 1 if good, else
    0; weight: [r] > 0.

    The order of the rows does not depend on the answers, so that fits on the same pairs have their data, and
    its bins, in common.
    """

    rows: np.ndarray
    label: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, comparisons: Comparisons) -> Labelled:
        """n pairs give 2n responses. An unpaired response that a share p of annotators found good is in both
        classes, with weights p and 1 - p."""
        items, weight = comparisons.items, np.tile(comparisons.weight, 2)
        if comparisons.kind == "unpaired":
            rows, label = np.tile(items[:, 0], 2), np.repeat([1.0, 0.0], len(items))
            weight = weight * np.concatenate([comparisons.share, 1 - comparisons.share])
        else:
            rows, winner = np.sort(items, axis=1).T.ravel(), items[:, 0]
            label = (rows == np.tile(winner, 2)).astype(float)
        counts = weight > 0  # others would count for min_child_samples
        return cls(rows[counts], label[counts], weight[counts])


def _datasets(lgb: Any, data: FitData, sides: list[np.ndarray], parameters: dict[str, Any]) -> list[Any]:
    """LightGBM's data of the responses of each split, in the bins of the first. sides: their rows.

    They are made once for fits on the same x with the same rows and parameters: labels are set anew.
    """
    key = ("LightGBM", *sorted(parameters.items()))
    known: tuple[list[np.ndarray], list[Any]] | None = data.kept.get(key)
    if known is not None and all(map(np.array_equal, known[0], sides)) and len(known[0]) == len(sides):
        return known[1]
    for other in [of for of in data.kept if of[0] == key[0]]:
        del data.kept[other]  # frees the memory
    sets: list[Any] = []
    for rows in sides:
        x = data.x[rows].astype(np.float32, copy=False)
        of_first = {"reference": sets[0]} if sets else {}
        sets.append(lgb.Dataset(x, np.zeros(len(x)), params=dict(parameters), **of_first).construct())
    data.kept[key] = sides, sets
    return sets


def loss_without_split(comparisons: Comparisons) -> float:
    """Returns the loss of a response when all scores are equal, the entropy of the labels."""
    if comparisons.kind != "unpaired":
        return math.log(2)
    good = float(np.average(comparisons.share, weights=comparisons.weight))
    return -good * math.log(good) - (1 - good) * math.log1p(-good)
