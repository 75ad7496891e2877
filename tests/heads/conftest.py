"""Small worlds with a known reward, for the tests of heads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from rmlab.comparisons import Comparisons
from rmlab.heads.base import FitData, RewardHead
from rmlab.heads.directions import Directions
from rmlab.heads.laplace import Laplace
from rmlab.heads.linear import Linear
from rmlab.heads.mlp import Mlp
from rmlab.heads.trees import Trees
from rmlab.losses.pairs import Classification

Reward = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class World:
    """data for the fit; test: [n, 2] rows of data.x, the better response first, without noise."""

    data: FitData
    test: np.ndarray

    def accuracy(self, head: RewardHead) -> float:
        scores = head.score(self.data.x)[self.test]
        return float(np.mean(scores[:, 0] > scores[:, 1]))


def pairs(items: np.ndarray, **columns: np.ndarray) -> Comparisons:
    return Comparisons(items=items, group=np.zeros(len(items), dtype=np.int64), **columns)


def make_world(
    reward: Reward, *, d: int = 5, train: int = 400, validation: int = 150, noise: float = 0.0
) -> World:
    """Features with unlike means and scales; noise: the share of wrong answers in train and validation.

    The three splits compare rows of their own, so nothing leaks.
    """
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2 * (train + validation + 1000), d))
    x = (z * np.linspace(0.5, 3.0, d) + np.linspace(-4.0, 4.0, d)).astype(np.float32)
    items = np.arange(len(x)).reshape(-1, 2)
    wrong = reward(z[items[:, 0]]) < reward(z[items[:, 1]])
    flipped = rng.random(len(items)) < noise
    flipped[train + validation :] = False
    items = np.where((wrong ^ flipped)[:, None], items[:, ::-1], items)
    splits = np.split(items, [train, train + validation])
    return World(FitData(x, pairs(splits[0]), pairs(splits[1])), splits[2])


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The networks here are tiny: more threads only wait for each other, for seconds on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def world() -> Callable[..., World]:
    return make_world


@pytest.fixture
def compare() -> Callable[..., Comparisons]:
    return pairs


@pytest.fixture
def linear_world() -> World:
    return make_world(lambda z: z @ np.linspace(-1.0, 2.0, z.shape[1]), noise=0.1)


@pytest.fixture
def product_world() -> World:
    """A reward with no linear part: the product of two features."""
    return make_world(lambda z: z[:, 0] * z[:, 1], d=4, train=2000, validation=400)


FITTERS = {
    "linear": Linear(l2=0.01),
    "mlp": Mlp(hidden=[16, 8], epochs=3, batch_size=64),
    "trees": Trees(n_estimators=20, early_stopping_rounds=3),
    "laplace": Laplace(l2=0.01, k=1.0),
    "directions": Directions(components=3),
}


@pytest.fixture(params=FITTERS)
def head(request: pytest.FixtureRequest, linear_world: World) -> RewardHead:
    """One fitted head of each kind."""
    return FITTERS[request.param].fit(linear_world.data, Classification(), 0)[0]


@pytest.fixture
def x(linear_world: World) -> np.ndarray:
    return linear_world.data.x
