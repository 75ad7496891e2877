"""Preference directions: principal components of the differences, mixed by how well each one ranks."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from scipy.special import expit, log_expit
from sklearn.decomposition import PCA

from rmlab.config.components import build
from rmlab.errors import ConfigError, InputError
from rmlab.heads.base import FitData, prepare
from rmlab.heads.directions import Directions, candidates, losses_of, moments
from rmlab.losses.pairs import BradleyTerry


def differences(data: FitData) -> np.ndarray:
    """z = φ(winner) - φ(loser) of the training comparisons, standardised."""
    train = prepare(data, True, np.float64).train
    return train.x[train.items[:, 0]] - train.x[train.items[:, 1]]


def test_moments_equal_those_of_numpy(linear_world):
    data, weight = linear_world.data, np.random.default_rng(0).uniform(0.2, 2.0, 400)
    train = prepare(replace(data, train=replace(data.train, weight=weight)), True, np.float64).train
    mean, covariance = moments(train)
    z = train.x[train.items[:, 0]] - train.x[train.items[:, 1]]
    np.testing.assert_allclose(mean, np.average(z, axis=0, weights=weight), atol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(z.T, ddof=0, aweights=weight), atol=1e-12)


def test_candidates_are_the_principal_components_of_scikit_learn(linear_world):
    z = differences(linear_world.data)
    given = candidates(*moments(prepare(linear_world.data, True, np.float64).train), 3)
    pca = PCA(n_components=3, svd_solver="full").fit(z)
    unit = given / np.linalg.norm(given, axis=1, keepdims=True)
    assert given.shape == (7, 5)
    np.testing.assert_allclose(np.abs(np.sum(unit[:3] * pca.components_, axis=1)), 1.0, atol=1e-9)
    np.testing.assert_array_equal(given[3:6], -given[:3])
    np.testing.assert_allclose(unit[6], z.mean(axis=0) / np.linalg.norm(z.mean(axis=0)), atol=1e-9)
    np.testing.assert_allclose((z @ given.T).std(axis=0), 1.0, atol=1e-9)


@pytest.mark.parametrize("temperature", [0.0, 2.0, 50.0])
def test_mixture_by_hand(temperature, linear_world):
    z = differences(linear_world.data)
    head, log = Directions(components=2, temperature=temperature).fit(linear_world.data, BradleyTerry(), 0)
    v = candidates(*moments(prepare(linear_world.data, True, np.float64).train), 2)
    weight = np.exp(-temperature * -log_expit(z @ v.T).mean(axis=0))
    weight /= weight.sum()
    np.testing.assert_allclose(head.weight, weight @ v, atol=1e-12)
    assert head.intercept == 0.0
    assert log.chosen["effective_directions"] == pytest.approx(np.exp(-np.sum(weight * np.log(weight))))
    assert log.chosen["directions"] == 5


def test_temperature_n_weighs_by_the_sum_of_the_loss(linear_world):
    """The rule for a user of a few pairs: weights in proportion to exp(-sum of losses)."""
    few = replace(linear_world.data, train=linear_world.data.train.take(np.arange(12)))
    z, v = differences(few), candidates(*moments(prepare(few, True, np.float64).train), 4)
    weight = np.prod(expit(z @ v.T), axis=0)
    head, _ = Directions(components=4, temperature=12.0).fit(few, BradleyTerry(), 0)
    np.testing.assert_allclose(head.weight, weight / weight.sum() @ v, atol=1e-9)


def test_zero_temperature_leaves_the_mean_difference_alone(linear_world):
    """The two signs of a component cancel."""
    head, _ = Directions(temperature=0.0).fit(linear_world.data, BradleyTerry(), 0)
    mean = differences(linear_world.data).mean(axis=0)
    assert head.weight @ mean == pytest.approx(np.linalg.norm(head.weight) * np.linalg.norm(mean))


def test_recovers_a_reward_that_dominates_the_differences(compare):
    """Embeddings that vary most along the reward: the first component is it, up to a sign that is found."""
    rng = np.random.default_rng(1)
    direction = np.array([3.0, -1.0, 2.0, 0.0, 1.0]) / 15**0.5
    x = rng.normal(size=(3000, 5)) * 0.3 + np.outer(rng.normal(size=3000) * 4, direction)
    items = np.arange(3000).reshape(-1, 2)
    lost = x[items[:, 0]] @ direction < x[items[:, 1]] @ direction
    items = np.where(lost[:, None], items[:, ::-1], items)
    data = FitData(x.astype(np.float32), compare(items[:1000]), compare(items[1000:]))
    head, _ = Directions(components=3, standardise=False).fit(data, BradleyTerry(), 0)
    assert head.weight @ direction / np.linalg.norm(head.weight) > 0.99
    scores = head.score(data.x)[items[1000:]]
    assert np.mean(scores[:, 0] > scores[:, 1]) > 0.97


def test_temperature_is_chosen_on_validation(linear_world):
    grid = [0.0, 3.0, 30.0, 300.0]
    head, log = Directions(temperature=grid).fit(linear_world.data, BradleyTerry(), 0)
    validation = prepare(linear_world.data, True, np.float64).validation
    losses = [
        losses_of(
            Directions(temperature=t).fit(linear_world.data, BradleyTerry(), 0)[0].weight[None],
            validation,
            BradleyTerry(),
        )[0]
        for t in grid
    ]
    assert log.chosen["temperature"] == grid[int(np.argmin(losses))]
    assert [row["loss"] for row in log.rows if row["split"] == "validation"] == pytest.approx(losses)
    assert linear_world.accuracy(head) > 0.8


def test_one_annotator_among_others(compare):
    """Half want the first feature high, half want it low: each gets a head of their own from 20 answers."""
    rng = np.random.default_rng(2)
    x = (rng.normal(size=(1200, 4)) * [2.0, 1.0, 1.0, 1.0]).astype(np.float32)
    items, annotator = np.arange(1200).reshape(-1, 2), np.arange(600) % 30
    taste = np.where(annotator % 2 == 0, 1.0, -1.0)
    lost = taste * (x[items[:, 0], 0] - x[items[:, 1], 0]) < 0
    items = np.where(lost[:, None], items[:, ::-1], items)
    everyone = compare(items, annotator=annotator)
    data = FitData(x, everyone.take(np.arange(0, 450)), everyone.take(np.arange(450, 600)))
    for who, sign in ((4, 1.0), (7, -1.0)):
        head, log = Directions(annotator=who, standardise=False).fit(data, BradleyTerry(), 0)
        assert sign * head.weight[0] / np.linalg.norm(head.weight) > 0.9
        assert log.rows[-1]["loss"] < 0.6
    with pytest.raises(InputError, match="annotator 30 has no training comparisons"):
        Directions(annotator=30).fit(data, BradleyTerry(), 0)
    mine = data.validation.annotator == 4
    without = replace(data, validation=data.validation.take(~mine))
    with pytest.raises(InputError, match="annotator 4 has no validation comparisons"):
        Directions(annotator=4).fit(without, BradleyTerry(), 0)
    Directions(annotator=4, temperature=10.0).fit(without, BradleyTerry(), 0)


def test_directions_without_spread_are_left_out(linear_world):
    x = np.hstack([linear_world.data.x, np.ones((len(linear_world.data.x), 2), dtype=np.float32)])
    head, log = Directions(components=50).fit(replace(linear_world.data, x=x), BradleyTerry(), 0)
    assert log.chosen["directions"] == 11
    assert np.array_equal(head.weight[5:], [0.0, 0.0])
    one = linear_world.data.train.take(np.arange(1))
    with pytest.raises(InputError, match="differ in the same way"):
        Directions().fit(replace(linear_world.data, train=one), BradleyTerry(), 0)


def test_refuses_what_is_no_pair(linear_world, compare):
    data = replace(linear_world.data, train=compare(np.arange(30).reshape(-1, 3)))
    with pytest.raises(ConfigError, match="compares 2 responses, got 3"):
        Directions().fit(data, BradleyTerry(), 0)
    with pytest.raises(InputError, match="no validation comparisons for choosing"):
        none = linear_world.data.validation.take(np.arange(0))
        Directions().fit(replace(linear_world.data, validation=none), BradleyTerry(), 0)


@pytest.mark.parametrize(
    "wrong",
    [{"components": 0}, {"temperature": -1.0}, {"temperature": []}, {"temperature": [1.0, float("inf")]}],
)
def test_refuses_wrong_parameters(wrong):
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must be"):
        Directions(**wrong)


def test_conf_is_the_default_of_the_code():
    path = Path(__file__).parents[2] / "conf" / "head" / "directions.yaml"
    component = OmegaConf.to_container(OmegaConf.load(path))
    assert build(component) == Directions()
    assert set(component) == {"_target_"} | {field.name for field in dataclasses.fields(Directions)}
    assert all("  # " in knob for knob in path.read_text().splitlines()[1:])
