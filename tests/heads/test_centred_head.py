"""Heads of embeddings less the mean of their prompt: alone, in a folder, and against the plain fit."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rmlab.errors import ConfigError, InputError
from rmlab.heads.base import FitData
from rmlab.heads.ensemble import Ensemble
from rmlab.heads.fitted.centred import CentredHead, prompt_means
from rmlab.heads.fitted.load import load_head
from rmlab.heads.linear import Linear
from rmlab.losses.pairs import BradleyTerry, Classification

GROUP = np.repeat(np.arange(100), 6)[np.random.default_rng(4).permutation(600)]


@pytest.fixture
def centred(linear_world) -> CentredHead:
    return CentredHead(
        Linear(l2=0.1).fit(linear_world.data, Classification(), 0)[0].normalised(linear_world.data.x)
    )


def test_the_means_are_those_of_each_prompt(x):
    means = prompt_means(x[:600], GROUP)
    for prompt in (0, 7, 99):
        here = prompt == GROUP
        np.testing.assert_allclose(means[here], np.tile(x[:600][here].mean(axis=0), (6, 1)), atol=1e-6)


def test_scores_what_is_left_of_each_embedding(centred, x):
    x = x[:600]
    by_hand = x - prompt_means(x, GROUP)
    assert np.array_equal(centred.score(x, GROUP), centred.head.score(by_hand))
    shifted = x + np.random.default_rng(0).normal(size=(100, x.shape[1])).astype(np.float32)[GROUP]
    np.testing.assert_allclose(centred.score(shifted, GROUP), centred.score(x, GROUP), atol=1e-5)
    alone = centred.score(x[:3], np.arange(3))
    np.testing.assert_allclose(alone, centred.head.score(np.zeros((3, x.shape[1]), np.float32)), atol=1e-9)


@pytest.mark.parametrize("method", ["score", "raw", "score_and_raw", "features", "normalised"])
def test_says_that_it_needs_prompts(centred, x, method):
    with pytest.raises(ConfigError, match="prompt of each response"):
        getattr(centred, method)(x)


@pytest.mark.parametrize("members", [1, 3])
def test_a_saved_one_scores_to_the_same_bits(linear_world, x, members, tmp_path):
    fitter = Linear(l2=0.1) if members == 1 else Ensemble(Linear(l2=0.1), members)
    head = fitter.fit(linear_world.data, BradleyTerry(), 0)[0].tempered(2.5).normalised(x)
    CentredHead(head).save(tmp_path)
    loaded = load_head(tmp_path)
    assert isinstance(loaded, CentredHead) and loaded.temperature == 2.5
    assert loaded.score(x[:600], GROUP).tobytes() == CentredHead(head).score(x[:600], GROUP).tobytes()
    assert json.loads((tmp_path / "head.json").read_text())["centre"] == "prompt"


def test_another_head_in_its_place_is_refused(centred, linear_world, tmp_path):
    centred.save(tmp_path)
    Linear(l2=1.0).fit(linear_world.data, Classification(), 0)[0].save(tmp_path / "head")
    with pytest.raises(InputError, match="not the file that was saved"):
        load_head(tmp_path)


def test_bradley_terry_within_prompts_does_not_see_the_mean(compare):
    """(x_w - m) - (x_l - m) = x_w - x_l: without standardising, the same problem and the same weights."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(600, 5)).astype(np.float32)
    group = np.repeat(np.arange(100), 6)
    items = np.array([6 * p + rng.permutation(6)[:2] for p in range(100) for _ in range(3)])
    better = (x[items] @ rng.normal(size=5) + rng.logistic(size=items.shape)).argmax(axis=1)
    items = np.where(better[:, None] == 1, items[:, ::-1], items)
    fitter = Linear(l2=0.01, standardise=False, tolerance=1e-9)
    none = compare(items[:0])
    plain, _ = fitter.fit(FitData(x, compare(items), none), BradleyTerry(), 0)
    shifted, _ = fitter.fit(FitData(x - prompt_means(x, group), compare(items), none), BradleyTerry(), 0)
    np.testing.assert_allclose(shifted.weight, plain.weight, atol=1e-5)
    both = (
        Linear(l2=0.01, standardise=False).fit(FitData(z, compare(items), none), Classification(), 0)[0]
        for z in (x, x - prompt_means(x, group))
    )
    first, second = both
    assert np.abs(first.weight - second.weight).max() > 1e-3, "a classifier does see it"
