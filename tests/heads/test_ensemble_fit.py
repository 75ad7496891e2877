"""Ensembles: how members are drawn and fitted, and what the log says of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rmlab.errors import ConfigError, InputError
from rmlab.heads.ensemble import Ensemble, resampled
from rmlab.heads.linear import Linear
from rmlab.heads.mlp import Mlp
from rmlab.heads.trees import Trees
from rmlab.losses.pairs import BradleyTerry, Classification

LINEAR = Linear(l2=0.01)


@pytest.fixture
def data(linear_world):
    """Eight comparisons a prompt."""
    train = linear_world.data.train
    return replace(linear_world.data, train=replace(train, group=np.arange(len(train)) // 8))


def test_a_resample_weighs_whole_prompts(data):
    train = replace(data.train, weight=np.linspace(0.5, 2.0, len(data.train)))
    drawn = resampled(train, np.random.default_rng(0))
    times = (drawn.weight / train.weight).round(9).reshape(-1, 8)
    assert (times == times[:, :1]).all()
    assert times[:, 0].sum() == len(times)  # as many prompts as there are
    assert set(times[:, 0]) >= {0.0, 1.0, 2.0}
    assert drawn.items is train.items  # nothing is copied


def test_each_prompt_comes_once_on_average(data):
    rng = np.random.default_rng(1)
    times = np.mean([resampled(data.train, rng).weight for _ in range(2000)], axis=0)
    np.testing.assert_allclose(times, 1.0, atol=5 / 2000**0.5)
    left_out = np.mean([np.mean(resampled(data.train, rng).weight == 0) for _ in range(200)])
    assert left_out == pytest.approx((1 - 1 / 50) ** 50, abs=0.02)


def test_a_resample_keeps_a_comparison_that_counts(compare):
    few = replace(compare(np.arange(8).reshape(4, 2), weight=np.array([0.0, 0, 0, 2])), group=np.arange(4))
    rng = np.random.default_rng(2)
    assert all(resampled(few, rng).weight[3] > 0 for _ in range(100))


def test_members_are_fits_on_resamples(data):
    """Each member again by hand: its seed and its draw come from (seed, index) alone."""
    head, _ = Ensemble(LINEAR, members=3).fit(data, BradleyTerry(), 5)
    for index, member in enumerate(head.members):
        draw = np.random.SeedSequence([5, index]).spawn(2)[1]
        train = resampled(data.train, np.random.default_rng(draw))
        alone, _ = LINEAR.fit(replace(data, train=train), BradleyTerry(), 0)
        np.testing.assert_array_equal(member.weight, alone.weight)
    weights = np.array([member.weight for member in head.members])
    assert weights.std(axis=0).min() > 1e-3


def test_a_larger_ensemble_begins_with_the_smaller(data):
    small, _ = Ensemble(LINEAR, members=2).fit(data, BradleyTerry(), 5)
    large, _ = Ensemble(LINEAR, members=3).fit(data, BradleyTerry(), 5)
    other, _ = Ensemble(LINEAR, members=2).fit(data, BradleyTerry(), 6)
    for one, same, different in zip(small.members, large.members, other.members, strict=False):
        assert np.array_equal(one.weight, same.weight)
        assert not np.array_equal(one.weight, different.weight)


def test_without_resampling_only_the_seed_differs(data):
    linear, _ = Ensemble(LINEAR, members=2, resample=False).fit(data, BradleyTerry(), 0)
    alone, _ = LINEAR.fit(data, BradleyTerry(), 0)
    assert all(np.array_equal(member.weight, alone.weight) for member in linear.members)
    networks, _ = Ensemble(Mlp(hidden=[4], epochs=1), members=2, resample=False).fit(data, BradleyTerry(), 0)
    x = data.x[:50]
    assert not np.array_equal(*(member.raw(x) for member in networks.members))
    assert np.array_equal(linear.uncertainty(x), np.zeros(50))


@pytest.mark.parametrize(
    "member", [Mlp(hidden=[8], epochs=8, batch_size=32, learning_rate=0.01), Trees(n_estimators=30)]
)
@pytest.mark.parametrize("seed", [2**63 + 5, -1])
def test_any_head_and_any_seed(member, seed, data, linear_world):
    head, _ = Ensemble(member, members=2).fit(data, Classification(), seed)
    again, _ = Ensemble(member, members=2).fit(data, Classification(), seed)
    assert linear_world.accuracy(head) > 0.7
    assert head.score(data.x).tobytes() == again.score(data.x).tobytes()


def test_more_members_vary_less(world):
    """What bagging is for: the mean of 12 resamples is nearer to the true order than the mean member."""
    noisy = world(lambda z: z[:, 0] + z[:, 1], d=30, train=150, validation=50, noise=0.1)
    train = replace(noisy.data.train, group=np.arange(150))
    head, _ = Ensemble(Linear(l2=1e-3), members=12).fit(replace(noisy.data, train=train), BradleyTerry(), 0)
    alone = np.mean([noisy.accuracy(member) for member in head.members])
    assert noisy.accuracy(head.normalised(noisy.data.x)) > alone + 0.02


def test_log_tells_of_every_member(data):
    member = Linear(l2=[0.01, 1.0])
    _, log = Ensemble(member, members=3).fit(data, BradleyTerry(), 0)
    draw = np.random.SeedSequence([0, 0]).spawn(2)[1]
    first = replace(data, train=resampled(data.train, np.random.default_rng(draw)))
    assert log.rows == member.fit(first, BradleyTerry(), 0)[1].rows
    assert {f"member-{index:03d}.l2" for index in range(3)} <= set(log.chosen)
    assert log.converged and log.message == ""


def test_log_counts_members_that_did_not_converge(data):
    _, log = Ensemble(Linear(l2=1e-6, max_iterations=1), members=2).fit(data, Classification(), 0)
    assert not log.converged
    assert log.message.startswith("2 of 2 members not converged; the first: linear head not converged")


def test_a_set_loss_takes_no_bootstrap(data):
    def mean_margin(scores, comparisons):
        return torch.nn.functional.softplus(scores[:, 1] - scores[:, 0]).mean()

    with pytest.raises(ConfigError, match="set ensemble.resample=false"):
        Ensemble(LINEAR).fit(data, mean_margin, 0)
    head, _ = Ensemble(LINEAR, members=2, resample=False).fit(data, mean_margin, 0)
    assert len(head.members) == 2


def test_refuses_bad_data_before_it_draws(data):
    with pytest.raises(InputError, match="no training comparisons"):
        Ensemble(LINEAR).fit(replace(data, train=data.train.take(np.arange(0))), BradleyTerry(), 0)
    with pytest.raises(InputError, match="weights of the training comparisons"):
        nothing = replace(data.train, weight=np.zeros(len(data.train)))
        Ensemble(LINEAR).fit(replace(data, train=nothing), BradleyTerry(), 0)


@pytest.mark.parametrize(
    "wrong",
    [{"members": 0}, {"combine": "max"}, {"k": -1.0}, {"k": float("inf")}, {"member": Ensemble(LINEAR)}],
)
def test_refuses_wrong_parameters(wrong):
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must be"):
        Ensemble(**{"member": LINEAR, **wrong})
