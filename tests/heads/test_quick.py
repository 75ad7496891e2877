"""MLPs in thinner products or in bfloat16: only where the order of the scores stays, and nearly the same scores."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from rmlab.errors import InputError, RmlabError
from rmlab.heads.fitted import quick as quick_forms
from rmlab.heads.fitted.base import Standardiser
from rmlab.heads.fitted.mlp import MlpHead
from rmlab.heads.fitted.quick import AGREEMENT, Bfloat16Mlp, CompressedMlp, bfloat16_pays, quick_mlp
from rmlab.models.product_rates import Rates

D, WIDTHS = 300, (256, 128)


def network(rng: np.random.Generator, used: int) -> MlpHead:
    """A head whose hidden layers each read `used` directions of their input alone."""
    sizes = (D, *WIDTHS, 1)
    layers = []
    for n_in, n_out in pairwise(sizes):
        weight = rng.normal(size=(n_out, n_in)) / np.sqrt(n_in)
        if n_out > 1 and used < n_in:
            basis = np.linalg.qr(rng.normal(size=(n_in, used)))[0]
            weight = rng.normal(size=(n_out, used)) @ basis.T / np.sqrt(used)
        layers.append((weight.astype(np.float32), rng.normal(size=n_out).astype(np.float32)))
    standardiser = Standardiser(rng.normal(size=D) * 3, rng.uniform(0.5, 2.0, size=D))
    return MlpHead(layers=tuple(layers), standardiser=standardiser, gain=2.0, bias=-1.0)


@pytest.fixture(autouse=True)
def pays(monkeypatch) -> list[bool]:
    """Whether bfloat16 is taken to be faster here."""
    answer = [False]
    monkeypatch.setattr(quick_forms, "bfloat16_pays", lambda n_out, n_in: answer[0])
    return answer


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def embeddings(head: MlpHead, n: int, rng: np.random.Generator) -> np.ndarray:
    z = rng.normal(size=(n, D))
    return (z * head.standardiser.scale + head.standardiser.mean).astype(np.float32)


def test_few_directions_are_found_and_scores_kept(rng):
    head = network(rng, used=10)
    quick = quick_mlp(head, embeddings(head, 1000, rng))
    x = embeddings(head, 3000, rng)
    assert isinstance(quick, CompressedMlp) and quick.agreement >= AGREEMENT
    assert quick_forms._work(quick.layers) < 0.6 * sum(weight.size for weight, _ in head.layers)
    assert quick.layers[0].weights[0].shape == (64, D)
    assert spearmanr(quick.raw(x), head.raw(x)).statistic > 0.999
    assert np.abs(quick.score(x) - head.score(x)).max() < 0.2 * head.score(x).std()
    np.testing.assert_allclose(quick.score(x), 2.0 * quick.raw(x) - 1.0)


def test_a_layer_of_low_rank_is_reproduced_exactly(rng):
    """One hidden layer of rank 10, no more than its directions: nothing is lost but rounding."""
    head = network(rng, used=10)
    (first, offset), *_ = head.layers
    last = (rng.normal(size=(1, len(first))).astype(np.float32), np.zeros(1, dtype=np.float32))
    shallow = MlpHead(layers=((first, offset), last), standardiser=head.standardiser)
    quick = quick_mlp(shallow, embeddings(head, 600, rng))
    x = embeddings(head, 500, rng)
    assert isinstance(quick, CompressedMlp)
    np.testing.assert_allclose(quick.raw(x), shallow.raw(x), atol=1e-3 * np.abs(shallow.raw(x)).max())


def test_where_all_directions_count_the_head_itself_is_kept(rng):
    head = network(rng, used=D)
    assert quick_mlp(head, embeddings(head, 1000, rng)) is head


@pytest.mark.parametrize(("in_bfloat16", "wrong"), [(False, np.nan), (True, np.inf)])
def test_it_checks_its_input_and_cannot_be_saved(in_bfloat16, wrong, rng, pays, tmp_path):
    pays[0] = in_bfloat16
    head = network(rng, used=10)
    quick = quick_mlp(head, embeddings(head, 1000, rng))
    assert isinstance(quick, Bfloat16Mlp if in_bfloat16 else CompressedMlp)
    with pytest.raises(InputError, match="width 300"):
        quick.raw(np.zeros((3, D + 1), dtype=np.float32))
    bad = embeddings(head, 3, rng)
    bad[1, 2] = wrong
    with pytest.raises(InputError, match="NaN or infinity"):
        quick.raw(bad)
    with pytest.raises(RmlabError, match="save the head it was made from"):
        quick.save(tmp_path / "head")


def rounded(x: np.ndarray) -> np.ndarray:
    """The nearest number with 8 bits of mantissa, ties to even, by integer arithmetic."""
    bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


@pytest.mark.parametrize("used", [10, D])
def test_products_in_bfloat16_are_those_of_rounded_numbers(rng, pays, used):
    """Against numpy, thin and whole: every input of a product is rounded, the sums and the scores are not."""
    pays[0] = True
    head = network(rng, used)
    quick = quick_mlp(head, embeddings(head, 1000, rng))
    assert isinstance(quick, Bfloat16Mlp) and quick.agreement >= AGREEMENT
    assert [len(weights) for weights, _ in quick.layers] == [2 if used == 10 else 1] * 2
    x = embeddings(head, 2500, rng)
    hidden = rounded(x - head.standardiser.mean.astype(np.float32))
    for weights, bias in quick.layers:
        for weight in weights[:-1]:
            hidden = rounded(hidden @ weight.float().numpy().T)
        hidden = np.maximum(rounded(hidden @ weights[-1].float().numpy().T + bias.float().numpy()), 0)
    weight, bias = head.layers[-1]
    expected = (hidden @ weight.T + bias)[:, 0]
    assert np.abs(quick.raw(x) - expected).max() < 0.01 * expected.std(), "but for the order of the sums"
    np.testing.assert_allclose(quick.score(x), 2.0 * quick.raw(x) - 1.0)
    assert spearmanr(quick.raw(x), head.raw(x)).statistic > 0.999


def test_bfloat16_minds_dimensions_far_from_zero(rng, pays):
    """A mean of 3,000 deviations: rounded as they are, the embeddings would say little."""
    pays[0] = True
    head = network(rng, used=D)
    far = Standardiser(np.full(D, 3000.0), np.ones(D))
    head = MlpHead(layers=head.layers, standardiser=far)
    quick = quick_mlp(head, embeddings(head, 1000, rng))
    assert isinstance(quick, Bfloat16Mlp)
    x = embeddings(head, 2000, rng)
    assert spearmanr(quick.raw(x), head.raw(x)).statistic > 0.999
    kept = spearmanr(head.raw(torch.from_numpy(x).bfloat16().float().numpy()), head.raw(x)).statistic
    assert kept < 0.6


def test_bfloat16_that_orders_otherwise_is_not_taken(rng, pays, monkeypatch):
    pays[0] = True
    head = network(rng, used=D)
    monkeypatch.setattr(Bfloat16Mlp, "_raw_block", lambda self, x: rng.normal(size=len(x)))
    assert quick_mlp(head, embeddings(head, 1000, rng)) is head


@pytest.mark.parametrize(("gain", "pays_off"), [(2.0, True), (1.1, False), (0.12, False)])
def test_bfloat16_must_be_clearly_faster(monkeypatch, gain, pays_off):
    monkeypatch.setattr(quick_forms, "rates", lambda hidden, inner: Rates(100.0, 100.0 * gain))
    assert bfloat16_pays(32, 16) is pays_off


def test_for_few_responses_the_layers_are_left_whole(rng, pays):
    """The trial of thinner ones would take longer; without bfloat16 there is nothing but thinner ones."""
    head = network(rng, used=10)
    sample = embeddings(head, 1000, rng)
    assert quick_mlp(head, sample, 1000).layers[0].weights[0].shape == (64, D)
    pays[0] = True
    few, many = (quick_mlp(head, sample, n) for n in (1000, 1e9))
    assert [len(quick.layers[0][0]) for quick in (few, many)] == [1, 2]
