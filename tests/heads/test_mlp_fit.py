"""The MLP: what it can learn, which epoch it keeps, and its random numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rmlab.comparisons import Comparisons
from rmlab.errors import RmlabError
from rmlab.heads.base import FitData
from rmlab.heads.linear import Linear
from rmlab.heads.mlp import Mlp, forward, initialise
from rmlab.losses.pairs import BradleyTerry, Classification

SMALL = Mlp(hidden=[16], epochs=3, batch_size=64)


@pytest.mark.parametrize("loss", [BradleyTerry(), Classification()])
def test_learns_what_a_linear_head_cannot(product_world, loss):
    linear, _ = Linear(l2=0.01).fit(product_world.data, loss, 0)
    mlp, _ = Mlp(hidden=[32, 16], batch_size=128).fit(product_world.data, loss, 0)
    assert product_world.accuracy(linear) < 0.6
    assert product_world.accuracy(mlp) > 0.85


def test_learns_a_linear_reward_as_well(linear_world):
    head, _ = Mlp(hidden=[16], batch_size=64).fit(linear_world.data, BradleyTerry(), 0)
    assert linear_world.accuracy(head) > 0.85


def test_an_epoch_meets_every_comparison_once(linear_world):
    met: list[np.ndarray] = []

    def spy(scores: torch.Tensor, comparisons: Comparisons) -> torch.Tensor:
        if torch.is_grad_enabled():
            met.append(comparisons.items)
        return BradleyTerry()(scores, comparisons)

    items = linear_world.data.train.items
    _, log = replace(SMALL, epochs=2, batch_size=150).fit(linear_world.data, spy, 0)
    assert [len(batch) for batch in met] == [150, 150, 100] * 2
    first, second = np.vstack(met[:3]), np.vstack(met[3:])
    for epoch in (first, second):
        assert np.array_equal(np.sort(epoch[:, 0]), np.sort(items[:, 0]))
    assert not np.array_equal(first, second)
    assert log.rows[-1]["step"] == 6


def test_same_seed_same_bits_whatever_the_global_state(linear_world):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, _ = SMALL.fit(linear_world.data, BradleyTerry(), 7)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    same, _ = SMALL.fit(linear_world.data, BradleyTerry(), 7)
    other, _ = SMALL.fit(linear_world.data, BradleyTerry(), 8)
    x = linear_world.data.x
    assert one.score(x).tobytes() == same.score(x).tobytes()
    assert not np.array_equal(one.score(x), other.score(x))


def test_zero_output_starts_from_equal_scores(linear_world):
    frozen = replace(SMALL, epochs=1, learning_rate=1e-12, dropout=0.0)
    losses = []
    for zero_output in (True, False):
        fitter = replace(frozen, zero_output=zero_output)
        _, log = fitter.fit(linear_world.data, BradleyTerry(), 0)
        losses.append(next(row["loss"] for row in log.rows if row["split"] == "validation"))
    assert losses[0] == pytest.approx(np.log(2), abs=1e-6)
    assert abs(losses[1] - np.log(2)) > 1e-4


def test_dropout_keeps_the_mean_score():
    rng = torch.Generator().manual_seed(0)
    layers = initialise([3, 200, 1], rng)
    x = torch.ones(1, 3)
    with torch.no_grad():
        whole = forward(layers, x, 0.4, None)
        dropped = forward(layers, x.expand(20_000, 3), 0.4, rng)
    assert dropped.std() > 0.01
    assert float(dropped.mean()) == pytest.approx(float(whole), abs=5 * float(dropped.std()) / 20_000**0.5)


def test_training_drops_units_and_validation_does_not(linear_world):
    """With next to no learning, both losses are those of the first weights: only dropout tells them apart."""
    frozen = Mlp(hidden=[16], dropout=0.8, epochs=1, batch_size=400, learning_rate=1e-12, zero_output=False)
    same = replace(linear_world.data, validation=linear_world.data.train)
    _, log = frozen.fit(same, BradleyTerry(), 0)
    _, whole = replace(frozen, dropout=0.0).fit(same, BradleyTerry(), 0)
    (train, validation), (expected, _) = ([row["loss"] for row in one.rows] for one in (log, whole))
    assert validation == pytest.approx(expected, abs=1e-6)
    assert abs(train - expected) > 1e-3


def test_numpy_scores_equal_the_torch_forward(linear_world):
    head, _ = replace(SMALL, hidden=[16, 8]).fit(linear_world.data, BradleyTerry(), 0)
    z = torch.from_numpy(head.standardiser.apply(linear_world.data.x, np.float32))
    layers = [(torch.from_numpy(weight), torch.from_numpy(bias)) for weight, bias in head.layers]
    np.testing.assert_allclose(head.score(linear_world.data.x), forward(layers, z, 0.0, None), atol=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_products_in_bfloat16_are_those_of_autocast(dropout):
    """Scores and gradients, against torch's own mixed precision with the last layer in float32."""
    layers = initialise([64, 32, 16, 1], torch.Generator().manual_seed(0))
    x, place = torch.randn(50, 64), torch.randint(0, 50, (80,))
    found = forward(layers, x, dropout, torch.Generator().manual_seed(1), place, torch.bfloat16)
    found.square().mean().backward()
    gradients = [part.grad.clone() for layer in layers for part in layer]
    rng = torch.Generator().manual_seed(1)
    hidden = x[place] if dropout else x
    for weight, bias in layers[:-1]:
        with torch.autocast("cpu", torch.bfloat16):
            hidden = torch.nn.functional.linear(hidden, weight.detach(), bias.detach()).clamp(min=0)
        if dropout:
            hidden = hidden * (torch.rand(hidden.shape, generator=rng) >= dropout) / (1 - dropout)
    whole = torch.nn.functional.linear(hidden.float(), *(p.detach() for p in layers[-1]))[:, 0]
    np.testing.assert_allclose(found.detach(), whole if dropout else whole[place], atol=1e-6)
    exact = [(w.detach().clone().requires_grad_(), b.detach().clone().requires_grad_()) for w, b in layers]
    forward(exact, x, dropout, torch.Generator().manual_seed(1), place).square().mean().backward()
    for gradient, expected in zip(gradients, [p.grad for layer in exact for p in layer], strict=True):
        assert gradient.dtype == torch.float32
        assert torch.nn.functional.cosine_similarity(gradient.ravel(), expected.ravel(), dim=0) > 0.999
        assert not torch.equal(gradient, expected) or gradient.numel() == 1


def test_a_fit_in_bfloat16_orders_nearly_as_one_in_float32(linear_world):
    x = linear_world.data.x
    whole, _ = SMALL.fit(linear_world.data, BradleyTerry(), 0)
    rounded, _ = replace(SMALL, products="bfloat16").fit(linear_world.data, BradleyTerry(), 0)
    assert all(part.dtype == np.float32 for layer in rounded.layers for part in layer)
    assert np.corrcoef(whole.score(x), rounded.score(x))[0, 1] > 0.99
    assert not np.array_equal(whole.score(x), rounded.score(x))


def test_standardises_by_training_rows_only(linear_world):
    x, used = linear_world.data.x, np.unique(linear_world.data.train.items)
    head, _ = SMALL.fit(linear_world.data, BradleyTerry(), 0)
    np.testing.assert_allclose(head.standardiser.mean, x[used].mean(axis=0, dtype=np.float64))
    np.testing.assert_allclose(head.standardiser.scale, x[used].std(axis=0, dtype=np.float64))
    assert np.abs(head.standardiser.mean - x.mean(axis=0, dtype=np.float64)).max() > 1e-3


def test_comparisons_of_weight_zero_change_nothing(linear_world, compare):
    items, x = linear_world.data.train.items, linear_world.data.x
    weight = np.where(np.arange(len(items)) < 300, 1.0, 0.0)
    fitter = replace(SMALL, batch_size=1, epochs=1)  # a batch of weight 0 alone would be 0/0
    kept, _ = fitter.fit(FitData(x, compare(items[:300]), linear_world.data.validation), BradleyTerry(), 0)
    zero, _ = fitter.fit(
        FitData(x, compare(items, weight=weight), linear_world.data.validation), BradleyTerry(), 0
    )
    assert np.array_equal(kept.score(x), zero.score(x))


def test_fits_choices_among_three(linear_world, compare):
    def first_of_k(scores: torch.Tensor, comparisons: Comparisons) -> torch.Tensor:
        return -torch.log_softmax(scores, dim=1)[:, 0]

    x = np.random.default_rng(0).normal(size=(1500, 3)).astype(np.float32)
    rows = np.arange(1500).reshape(-1, 3)
    items = np.take_along_axis(rows, np.argsort(-x[rows, 0], axis=1), axis=1)
    data = FitData(x, compare(items[:400]), compare(items[400:]))
    head, _ = Mlp(hidden=[8], batch_size=32).fit(data, first_of_k, 0)
    assert np.mean(np.argmax(head.score(x)[items[400:]], axis=1) == 0) > 0.85


def test_says_when_training_diverged(linear_world):
    with pytest.raises(RmlabError, match="lower learning_rate"):
        SMALL.fit(linear_world.data, lambda scores, comparisons: scores[:, 0] * float("nan"), 0)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_rows_that_a_batch_repeats_train_as_if_each_were_scored_alone(compare, dropout):
    """Against a loop that scores both responses of every pair, whatever else they are compared with."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(12, 4)).astype(np.float32)
    train, validation = (compare(np.array([rng.permutation(12)[:2] for _ in range(n)])) for n in (60, 20))
    how = {"hidden": [16, 8], "weight_decay": 0.0, "learning_rate": 1e-3, "epochs": 2, "batch_size": 16}
    fitter = Mlp(**how, dropout=dropout, standardise=False, zero_output=False)
    head, _ = fitter.fit(FitData(x, train, validation), BradleyTerry(), 5)
    draw = torch.Generator().manual_seed(5)
    layers = initialise([4, 16, 8, 1], draw)
    optimiser = torch.optim.Adam([p for layer in layers for p in layer], lr=1e-3)
    states, losses = [], []
    for _ in range(2):
        order = torch.randperm(60, generator=draw).numpy()
        for start in range(0, 60, 16):
            both = torch.from_numpy(x[train.items[order[start : start + 16]].ravel()])
            for i, (weight, bias) in enumerate(layers):
                both = both @ weight.T + bias
                if i < 2:
                    both = both.clamp(min=0)
                    if dropout:
                        both = both * (torch.rand(both.shape, generator=draw) >= dropout) / (1 - dropout)
            scores = both.reshape(-1, 2)
            optimiser.zero_grad()
            (-torch.nn.functional.logsigmoid(scores[:, 0] - scores[:, 1])).mean().backward()
            optimiser.step()
        with torch.no_grad():
            scores = forward(layers, torch.from_numpy(x), 0.0, None)
            losses.append(float(BradleyTerry()(scores[validation.items], validation).mean()))
        states.append(scores.numpy())
    # Differences alone: a shift of all scores is a gradient of rounding errors, which Adam scales up.
    best = states[int(np.argmin(losses))]
    np.testing.assert_allclose(head.raw(x) - head.raw(x)[0], best - best[0], atol=2e-5)
