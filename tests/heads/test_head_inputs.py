"""Bad data is refused in one line by every fitter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rmlab.errors import ConfigError, InputError, RmlabError
from rmlab.heads.linear import Linear
from rmlab.heads.mlp import Mlp
from rmlab.heads.trees import Trees
from rmlab.losses.pairs import BradleyTerry, Classification

FITTERS = [Linear(), Mlp(hidden=[4], epochs=1), Trees(n_estimators=2)]
every_fitter = pytest.mark.parametrize("fitter", FITTERS, ids=["linear", "mlp", "trees"])


def refused(fitter, data, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        fitter.fit(data, Classification(), 0)
    assert "\n" not in str(caught.value)
    assert ";" in str(caught.value) or "must be" in str(caught.value)


@every_fitter
def test_no_training_comparisons(fitter, linear_world):
    refused(
        fitter, replace(linear_world.data, train=linear_world.data.train.take(np.arange(0))), "no training"
    )


@every_fitter
def test_no_validation_comparisons(fitter, linear_world):
    none = linear_world.data.validation.take(np.arange(0))
    refused(fitter, replace(linear_world.data, validation=none), "no validation comparisons for")


@pytest.mark.parametrize(
    "fitter", [Linear(l2=0.1), Linear(l2=[0.1]), Trees(n_estimators=60, early_stopping_rounds=0)]
)
def test_validation_is_not_asked_for_where_it_is_not_needed(fitter, linear_world):
    none = linear_world.data.validation.take(np.arange(0))
    head, log = fitter.fit(replace(linear_world.data, validation=none), Classification(), 0)
    assert linear_world.accuracy(head) > 0.75
    assert {row["split"] for row in log.rows} == {"train"}


@every_fitter
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_embeddings_that_are_not_finite(fitter, bad, split, linear_world):
    x = linear_world.data.x.copy()
    x[getattr(linear_world.data, split).items[3, 1], 2] = bad
    refused(fitter, replace(linear_world.data, x=x), "NaN or infinity")


@every_fitter
def test_rows_that_the_pool_lacks(fitter, linear_world):
    refused(fitter, replace(linear_world.data, x=linear_world.data.x[:50]), "rows that the embeddings lack")


@every_fitter
@pytest.mark.parametrize("weight", [-1.0, np.nan, 0.0])
def test_weights_that_are_no_weights(fitter, weight, linear_world):
    train = replace(linear_world.data.train, weight=np.full(len(linear_world.data.train), weight))
    refused(fitter, replace(linear_world.data, train=train), "weights of the training comparisons")


@every_fitter
def test_embeddings_of_another_shape(fitter, linear_world):
    refused(fitter, replace(linear_world.data, x=linear_world.data.x[:, None, :]), r"must be \[m, d\]")


@pytest.mark.parametrize("fitter", FITTERS[:2], ids=["linear", "mlp"])
def test_a_loss_of_another_shape(fitter, linear_world):
    with pytest.raises(RmlabError, match="one value for each comparison"):
        fitter.fit(linear_world.data, lambda scores, comparisons: scores, 0)


@pytest.mark.parametrize("fitter", [Linear(l2=0.01), Mlp(hidden=[8], epochs=5)], ids=["linear", "mlp"])
def test_a_set_loss_returns_one_value(fitter, linear_world):
    def mean_margin(scores, comparisons):
        return torch.nn.functional.softplus(scores[:, 1] - scores[:, 0]).mean()

    head, _ = fitter.fit(linear_world.data, mean_margin, 0)
    alone, _ = fitter.fit(linear_world.data, BradleyTerry(), 0)
    np.testing.assert_allclose(head.score(linear_world.data.x), alone.score(linear_world.data.x), atol=1e-3)


@pytest.mark.parametrize("fitter", [Linear(l2=0.0), Linear(l2=[0.0, 1.0]), Mlp(weight_decay=0.0)])
def test_a_loss_without_a_minimum_needs_a_penalty(fitter, linear_world):
    class Unbounded(Classification):
        unbounded = True

    with pytest.raises(ConfigError, match="needs a penalty.*set head.l2"):
        fitter.fit(linear_world.data, Unbounded(), 0)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_unpaired_answers_of_one_kind(share, linear_world):
    items = linear_world.data.train.items[:, :1]
    one_kind = replace(
        linear_world.data.train, items=items, kind="unpaired", share=np.full(len(items), share)
    )
    with pytest.raises(InputError, match="answers of both kinds"):
        Linear(l2=0.1).fit(replace(linear_world.data, train=one_kind), lambda s, c: s[:, 0].square(), 0)
