"""Gradient-boosted trees: is this response a winner or a loser, good or not?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import softplus

from rmlab.comparisons import Comparisons
from rmlab.errors import ConfigError
from rmlab.heads.base import Centre, FitData, FitLog, TreesHead, check_inputs, lightgbm

if TYPE_CHECKING:
    from rmlab.losses.base import Loss

LARGEST_SEED = 2**31 - 1  # LightGBM's seed is a signed 32-bit integer
BIN_ROWS = 20_000  # responses that a feature's bins are found from
PROBES = 8
ROUNDING = 1e-9  # of a loss


def check_classification(loss: Loss, train: Comparisons) -> None:
    """Refuses a loss that is not the one of a classifier of single responses, by its values on a few.

    Pairs: -log σ(s_w) - log σ(-s_l); unpaired: -share log σ(s) - (1 - share) log σ(-s).
    Its values rather than its name: a variant with class weights would otherwise be silently ignored.
    """
    # The first few, and the best and the worst: a weight of one class must not escape.
    few = np.arange(min(PROBES, len(train)))
    probe = train.take(np.union1d(few, [np.argmin(train.share), np.argmax(train.share)]))
    scores = torch.linspace(-3.0, 2.0, probe.items.size, dtype=torch.float64).reshape(probe.items.shape)
    good, bad = softplus(-scores), softplus(scores)
    share = torch.from_numpy(np.asarray(probe.share, dtype=np.float64))
    if train.kind == "unpaired":
        name, expected = "unpaired", share * good[:, 0] + (1 - share) * bad[:, 0]
    else:
        name, expected = "classification", good[:, 0] + bad[:, 1]
    given = loss(scores, probe)
    if given.shape != expected.shape or not torch.allclose(given.double(), expected, rtol=1e-6):
        plain = " without class weights" if train.kind == "unpaired" else ""
        centred = " centring=0" if getattr(loss, "eta", 0) else ""
        raise ConfigError(f"head=trees fits loss={name}{plain} only; add loss={name}{centred}")


def responses(x: np.ndarray, comparisons: Comparisons) -> dict[str, np.ndarray]:
    """Single responses, those found good (label 1) then the others (label 0).

    [n, 2] pairs are 2n of them, winners and losers. An unpaired one that a share p of the annotators found
    good counts p times as good and 1 - p times as not.
    """
    items, weight = comparisons.items, comparisons.weight
    if comparisons.kind == "unpaired":
        rows, by_row = np.tile(items[:, 0], 2), np.concatenate([comparisons.share, 1 - comparisons.share])
        weight = np.tile(weight, 2) * by_row
    else:
        rows, weight = items.T.ravel(), np.tile(weight, 2)
    label = np.repeat([1.0, 0.0], len(comparisons))
    counts = weight > 0  # min_child_samples would count the rest
    return {"data": x[rows[counts]].astype(np.float32), "label": label[counts], "weight": weight[counts]}


def no_split(comparisons: Comparisons) -> float:
    """The loss of a response when all scores are equal: the entropy of its label."""
    if comparisons.kind != "unpaired":
        return math.log(2)
    good = float(np.average(comparisons.share, weights=comparisons.weight))
    return -good * math.log(good) - (1 - good) * math.log1p(-good)


@dataclass(frozen=True)
class Trees:
    """LightGBM's binary classifier on winners and losers, or on unpaired answers; the score is its log-odds.

    Stops after early_stopping_rounds trees without a lower validation loss and keeps the best number of
    trees; 0 never stops early and needs no validation. One thread by default: the same bits everywhere.
    """

    n_estimators: int = 500
    learning_rate: float = 0.05
    num_leaves: int = 15
    min_child_samples: int = 20
    feature_fraction: float = 0.3
    l2: float = 1.0
    early_stopping_rounds: int = 30
    num_threads: int = 1
    centre: Centre = "none"

    def __post_init__(self) -> None:
        for name, least in (
            ("n_estimators", 1),
            ("num_leaves", 2),
            ("min_child_samples", 1),
            ("l2", 0),
            ("early_stopping_rounds", 0),
            ("num_threads", 0),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be >= {least}, got {getattr(self, name)}")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be > 0, got {self.learning_rate}")
        if not 0 < self.feature_fraction <= 1:
            raise ValueError(f"feature_fraction must be > 0 and <= 1, got {self.feature_fraction}")

    def fit(self, data: FitData, loss: Loss, seed: int) -> tuple[TreesHead, FitLog]:
        lgb = lightgbm()
        needed_for = "stopping the trees early (or set early_stopping_rounds=0)"
        check_inputs(data, loss, needed_for if self.early_stopping_rounds else "")
        for comparisons in (data.train, data.validation):
            _check_size(comparisons)
        check_classification(loss, data.train)
        history: dict[str, dict[str, list[float]]] = {}
        booster = self._boost(lgb, data, seed, history)
        best = booster.best_iteration if self.early_stopping_rounds else self.n_estimators
        head = TreesHead(model=booster.model_to_string(num_iteration=best), n_threads=self.num_threads)
        return head, self._log(data.train, history, best)

    def _boost(self, lgb: Any, data: FitData, seed: int, history: dict[str, dict[str, list[float]]]) -> Any:
        train = lgb.Dataset(**responses(data.x, data.train))
        sets, names = [train], ["train"]
        if len(data.validation):
            sets.append(lgb.Dataset(**responses(data.x, data.validation), reference=train))
            names.append("validation")
        callbacks = [lgb.record_evaluation(history)]
        if self.early_stopping_rounds:
            callbacks.append(lgb.early_stopping(self.early_stopping_rounds, verbose=False))
        return lgb.train(
            self._parameters(seed),
            train,
            num_boost_round=self.n_estimators,
            valid_sets=sets,
            valid_names=names,
            callbacks=callbacks,
        )

    def _parameters(self, seed: int) -> dict[str, Any]:
        return {
            "objective": "binary",
            "metric": "binary_logloss",
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "min_child_samples": self.min_child_samples,
            "feature_fraction": self.feature_fraction,
            "bin_construct_sample_cnt": BIN_ROWS,
            "enable_bundle": False,  # for sparse features; the search for bundles is a quarter of the set-up
            "lambda_l2": self.l2,
            "deterministic": True,
            "force_col_wise": True,
            "num_threads": self.num_threads,
            "seed": seed % LARGEST_SEED,
            "verbosity": -1,
        }

    def _log(self, train: Comparisons, history: dict[str, dict[str, list[float]]], best: int) -> FitLog:
        """A row for each tree and split; the loss is that of a comparison, of a pair twice a response's."""
        log = FitLog(chosen={"n_estimators": best})
        for split, metrics in history.items():
            for index, value in enumerate(metrics["binary_logloss"]):
                log.add(index + 1, index + 1, split, train.items.shape[1] * value)
        if history["train"]["binary_logloss"][best - 1] > no_split(train) - ROUNDING:
            log.converged = False
            log.message = "the trees made no split: all scores are equal; lower min_child_samples"
        elif self.early_stopping_rounds and best == self.n_estimators:
            log.converged = False
            log.message = f"trees not converged: the best was the last of {best}; raise n_estimators"
        return log


def _check_size(comparisons: Comparisons) -> None:
    size = 1 if comparisons.kind == "unpaired" else 2
    if len(comparisons) and comparisons.items.shape[1] != size:
        raise ConfigError(
            f"head=trees compares 2 responses, got {comparisons.items.shape[1]}; "
            "set pairing to pairs, or use head=linear or head=mlp"
        )
