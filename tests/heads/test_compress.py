"""MLPs in thinner products: only where the order of the scores stays, and nearly the same scores."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import spearmanr

from rmlab.errors import InputError, RmlabError
from rmlab.heads.fitted.base import Standardiser
from rmlab.heads.fitted.mlp import AGREEMENT, CompressedMlp, MlpHead, compressed

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


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def embeddings(head: MlpHead, n: int, rng: np.random.Generator) -> np.ndarray:
    z = rng.normal(size=(n, D))
    return (z * head.standardiser.scale + head.standardiser.mean).astype(np.float32)


def test_few_directions_are_found_and_scores_kept(rng):
    head = network(rng, used=10)
    quick = compressed(head, embeddings(head, 1000, rng))
    x = embeddings(head, 3000, rng)
    assert isinstance(quick, CompressedMlp) and quick.agreement >= AGREEMENT
    assert quick.work < 0.6 * sum(weight.size for weight, _ in head.layers)
    assert quick.layers[0].inner.shape == (64, D)
    assert spearmanr(quick.raw(x), head.raw(x)).statistic > 0.999
    assert np.abs(quick.score(x) - head.score(x)).max() < 0.2 * head.score(x).std()
    np.testing.assert_allclose(quick.score(x), 2.0 * quick.raw(x) - 1.0)


def test_a_layer_of_low_rank_is_reproduced_exactly(rng):
    """One hidden layer of rank 10, no more than its directions: nothing is lost but rounding."""
    head = network(rng, used=10)
    (first, offset), *_ = head.layers
    last = (rng.normal(size=(1, len(first))).astype(np.float32), np.zeros(1, dtype=np.float32))
    shallow = MlpHead(layers=((first, offset), last), standardiser=head.standardiser)
    quick = compressed(shallow, embeddings(head, 600, rng))
    x = embeddings(head, 500, rng)
    assert isinstance(quick, CompressedMlp)
    np.testing.assert_allclose(quick.raw(x), shallow.raw(x), atol=1e-3 * np.abs(shallow.raw(x)).max())


def test_where_all_directions_count_the_head_itself_is_kept(rng):
    head = network(rng, used=D)
    assert compressed(head, embeddings(head, 1000, rng)) is head


def test_it_checks_its_input_and_cannot_be_saved(rng, tmp_path):
    head = network(rng, used=10)
    quick = compressed(head, embeddings(head, 1000, rng))
    with pytest.raises(InputError, match="width 300"):
        quick.raw(np.zeros((3, D + 1), dtype=np.float32))
    bad = embeddings(head, 3, rng)
    bad[1, 2] = np.nan
    with pytest.raises(InputError, match="NaN or infinity"):
        quick.raw(bad)
    with pytest.raises(RmlabError, match="save the head it was made from"):
        quick.save(tmp_path / "head")
