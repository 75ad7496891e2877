"""Fits a multilayer perceptron on comparisons and keeps the epoch with the lowest validation loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.optim import Optimizer

from rmlab.comparisons import Comparisons
from rmlab.errors import RmlabError
from rmlab.heads.base import (
    Centre,
    Compared,
    FitData,
    FitLog,
    Prepared,
    check_inputs,
    check_penalty,
    mean_loss,
    prepare,
)
from rmlab.heads.fitted.base import row_blocks
from rmlab.heads.fitted.mlp import FittedLayers, MlpHead

if TYPE_CHECKING:
    from rmlab.losses.base import Loss

CHECKS = 30  # evaluations of the validation loss within a budget of steps
Layers = list[tuple[Tensor, Tensor]]  # (weight [out, in], bias [out])
Products = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Mlp:
    """Fits a network d -> hidden -> 1 with ReLU by AdamW on the weighted mean loss.

    An epoch is one pass over all training comparisons in random order. Training stops after `patience` epochs
    without a lower validation loss; the weights of the best epoch are kept. Biases have no weight decay.
    steps: the total number of optimiser steps, instead of epochs, so that more annotations do not mean longer
    training; the validation loss is then computed CHECKS times.
    zero_output: the last layer starts at 0. Noisy answers stop a fit early, when much of a random start is
    left as noise in the scores; with few or noisy comparisons this is most of what an MLP loses to a linear
    head.
    products: bfloat16 rounds what the products of hidden layers take, and sums in float32; weights, their
    gradients and their steps, the last layer and the fitted head are in float32 all the same. It is
    faster where the processor multiplies such numbers, and much slower where it does not.
    """

    name: ClassVar[str] = "mlp"

    hidden: list[int] = field(default_factory=lambda: [256])
    dropout: float = 0.5
    weight_decay: float = 0.1
    learning_rate: float = 3e-4
    epochs: int = 100
    steps: int | None = None
    batch_size: int = 512
    patience: int = 10
    standardise: bool = True
    zero_output: bool = True
    centre: Centre = "none"
    products: Products = "float32"

    def __post_init__(self) -> None:
        rules = {
            "hidden must hold widths >= 1": all(width >= 1 for width in self.hidden),
            "dropout must be >= 0 and < 1": 0 <= self.dropout < 1,
            "weight_decay must be >= 0": self.weight_decay >= 0,
            "learning_rate must be > 0": self.learning_rate > 0,
            "epochs must be >= 1": self.epochs >= 1,
            "steps must be >= 1, or null": self.steps is None or self.steps >= 1,
            "batch_size must be >= 1": self.batch_size >= 1,
            "patience must be >= 1": self.patience >= 1,
            "products must be float32 or bfloat16": self.products in get_args(Products),
        }
        for rule, kept in rules.items():
            if not kept:
                raise ValueError(f"{rule}, got {self}")

    def check_fits(self, loss: Loss, comparisons: Comparisons) -> None:
        """Raises ConfigError for a loss that needs weight decay where there is none."""
        check_penalty(loss, self.weight_decay > 0)

    def fit(self, data: FitData, loss: Loss, seed: int) -> tuple[MlpHead, FitLog]:
        """Fits the head.

        It depends on the seed alone; the global random state is neither read nor changed.
        """
        check_inputs(data, loss, "stopping the MLP at its best epoch", penalised=self.weight_decay > 0)
        prepared = prepare(data, self.standardise, np.float32)
        rng, log = torch.Generator().manual_seed(seed), FitLog()
        layers = initialise([data.x.shape[1], *self.hidden, 1], rng, self.zero_output)
        best = self._train(layers, prepared, loss, rng, log)
        return MlpHead(layers=best, standardiser=prepared.standardiser), log

    def _train(
        self, layers: Layers, prepared: Prepared, loss: Loss, rng: torch.Generator, log: FitLog
    ) -> FittedLayers:
        """Trains and returns the layers with the lowest validation loss."""
        train, validation = prepared.train, prepared.validation
        groups = [
            {"params": [weight for weight, _ in layers], "weight_decay": self.weight_decay},
            {"params": [bias for _, bias in layers], "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, lr=self.learning_rate, fused=True)
        batches = self._batches(len(train.items), rng)
        per_epoch = -(-len(train.items) // self.batch_size)
        best, best_loss, best_step, step, waited = fitted(layers), float("inf"), 0, 0, 0
        for n_steps in self._checks(per_epoch):
            train_loss = self._steps(layers, optimiser, train, loss, rng, list(islice(batches, n_steps)))
            validation_loss = evaluation_loss(layers, validation, loss, self._dtype)
            step += n_steps
            log.add(step, step / per_epoch, "train", train_loss)
            log.add(step, step / per_epoch, "validation", validation_loss)
            if validation_loss < best_loss:
                best, best_loss, best_step, waited = fitted(layers), validation_loss, step, 0
            else:
                waited += 1
                if waited >= self.patience:
                    break
        self._conclude(best_step, per_epoch, best_loss, log)
        return best

    @property
    def _dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.products == "bfloat16" else torch.float32

    def _checks(self, per_epoch: int) -> list[int]:
        """Returns the numbers of steps between validation losses: an epoch's, or shares of the budget."""
        if self.steps is None:
            return [per_epoch] * self.epochs
        size = max(1, self.steps // CHECKS)
        return [size] * (self.steps // size - 1) + [size + self.steps % size]

    def _batches(self, n: int, rng: torch.Generator) -> Iterator[np.ndarray]:
        """Yields the rows of each step: pass after pass over all comparisons, each in a new random order."""
        while True:
            order = torch.randperm(n, generator=rng).numpy()
            yield from (order[block] for block in row_blocks(n, self.batch_size))

    def _steps(
        self,
        layers: Layers,
        optimiser: Optimizer,
        train: Compared,
        loss: Loss,
        rng: torch.Generator,
        batches: list[np.ndarray],
    ) -> float:
        """Takes a step for each batch and returns the mean of their losses, each before its step."""
        x, weight = torch.from_numpy(train.x), train.comparisons.weight
        total = 0.0
        for rows in batches:
            items = train.items[rows]
            distinct, place = np.unique(items, return_inverse=True)
            x_rows, places = x[torch.from_numpy(distinct)], torch.from_numpy(place.ravel())
            scores = forward(layers, x_rows, self.dropout, rng, places, self._dtype).reshape(items.shape)
            value = mean_loss(loss, scores, train.comparisons.take(rows))
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            total += value.item() * float(weight[rows].sum())
        return total / float(sum(weight[rows].sum() for rows in batches))

    def _conclude(self, best_step: int, per_epoch: int, best_loss: float, log: FitLog) -> None:
        """Logs the best step and whether training converged."""
        if best_step == 0:
            raise RmlabError("the MLP's validation loss was never finite; lower learning_rate")
        log.chosen = {"epoch": best_step / per_epoch, "step": best_step, "validation_loss": best_loss}
        last = self.epochs * per_epoch if self.steps is None else self.steps
        log.converged = best_step < last
        if not log.converged:
            what, most = ("epoch", self.epochs) if self.steps is None else ("step", self.steps)
            log.message = f"MLP not converged: its best {what} was the last of {most}; raise {what}s"


def initialise(sizes: list[int], rng: torch.Generator, zero_output: bool = False) -> Layers:
    """Draws parameters uniformly in ±1/sqrt(in), as torch.nn.Linear. sizes: widths from input to output.

    zero_output: sets the last layer to 0, so that all scores are equal before the first step.
    """
    layers: Layers = []
    for n_in, n_out in pairwise(sizes):
        values = torch.rand(n_out, n_in + 1, generator=rng).mul_(2).sub_(1).div_(n_in**0.5)
        weight, bias = values[:, :-1].clone(), values[:, -1].clone()
        layers.append((weight, bias))
    if zero_output:
        for tensor in layers[-1]:
            tensor.zero_()
    return [(weight.requires_grad_(), bias.requires_grad_()) for weight, bias in layers]


def forward(
    layers: Layers,
    x: Tensor,
    dropout: float,
    rng: torch.Generator | None,
    place: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Returns scores [r] of x [r, d]; with an rng (in training) hidden units are dropped.

    place: [m] rows of x, which may repeat -> [m] scores. Repeats of a row are computed once: through all
    layers, or with dropout through the first layer alone, since each repeat then drops other units.
    dtype: that of the products of hidden layers.
    """
    for weight, bias in layers[:-1]:
        x = linear(x.to(dtype), weight.to(dtype), bias.to(dtype)).relu_()
        if rng is not None and dropout > 0:
            if place is not None:
                x, place = x.index_select(0, place), None
            kept = torch.rand(x.shape, generator=rng) >= dropout
            x = x * kept / (1 - dropout)
    scores = linear(x.float(), *layers[-1])[:, 0]
    return scores if place is None else scores.index_select(0, place)


@torch.inference_mode()
def evaluation_loss(layers: Layers, side: Compared, loss: Loss, dtype: torch.dtype = torch.float32) -> float:
    """Returns the mean loss of a split, without dropout."""
    scores = forward(layers, torch.from_numpy(side.x), 0.0, None, dtype=dtype)
    return float(mean_loss(loss, scores[torch.from_numpy(side.items)], side.comparisons))


def fitted(layers: Layers) -> FittedLayers:
    """Returns copies of the parameters as arrays."""
    return tuple((weight.detach().numpy().copy(), bias.detach().numpy().copy()) for weight, bias in layers)
