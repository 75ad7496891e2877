"""A linear head of any kind as one weight vector: the same rewards."""

from __future__ import annotations

import numpy as np
import pytest

from rmlab.heads.fitted.base import Standardiser
from rmlab.heads.fitted.centred import CentredHead
from rmlab.heads.fitted.linear import LaplaceHead, LinearHead
from rmlab.heads.fitted.linear_form import linear_form
from rmlab.heads.fitted.several import EnsembleHead, WeightedHead

D = 7
RNG = np.random.default_rng(0)
X = RNG.normal(2, 3, (40, D))


def standardiser(rng):
    return Standardiser(rng.normal(size=D), rng.uniform(0.1, 9, D))


def linear(seed=0, **more):
    rng = np.random.default_rng(seed)
    fields = {"gain": 1.7, "bias": -0.3} | more
    return LinearHead(weight=rng.normal(size=D), intercept=0.9, standardiser=standardiser(rng), **fields)


def laplace(k):
    rng = np.random.default_rng(4)
    return LaplaceHead(
        weight=rng.normal(size=D),
        intercept=0.2,
        standardiser=standardiser(rng),
        centre=rng.normal(size=D),
        factor=np.tril(rng.normal(size=(D, D))),
        k=k,
        gain=0.4,
        bias=2.0,
    )


def ensemble(combine="mean", members=None):
    members = members or (linear(1), linear(2, gain=0.2), linear(3, bias=5.0))
    return EnsembleHead(members=members, combine=combine, k=1.0).normalised(X)


def weighted(member):
    members = {"kind": linear(5), "short": member}
    return WeightedHead(members=members, weights={"kind": 0.3, "short": -2.0}, gain=1.1, bias=0.1)


@pytest.mark.parametrize(
    "head",
    [linear(), laplace(0.0), ensemble(), weighted(linear(6)), weighted(ensemble())],
    ids=lambda h: h.kind,
)
def test_the_reward_is_the_same(head):
    form = linear_form(head)
    np.testing.assert_allclose(form.score(X), head.score(X), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "head",
    [laplace(1.0), ensemble("min"), ensemble("lcb"), weighted(laplace(0.5)), CentredHead(linear())],
    ids=["lower bound", "least", "lcb", "a member's lower bound", "centred"],
)
def test_other_heads_have_none(head):
    assert linear_form(head) is None
