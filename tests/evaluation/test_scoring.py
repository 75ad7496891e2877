"""Scoring many responses: threads side by side, quick forms, and what happens when something fails."""

from __future__ import annotations

import numpy as np
import pytest
from fitting_world import Pieces

from rmlab.errors import InputError
from rmlab.evaluation import score as scoring
from rmlab.evaluation.score import (
    is_quick,
    quick_forms,
    quickened,
    regression_on_golden,
    score_all,
)
from rmlab.heads.fitted import quick
from rmlab.heads.fitted.base import Standardiser
from rmlab.heads.fitted.linear import LinearHead
from rmlab.heads.fitted.mlp import MlpHead
from rmlab.heads.fitted.quick import QuickMlp
from rmlab.heads.fitted.several import EnsembleHead

D = 8


def linear(seed: int) -> LinearHead:
    rng = np.random.default_rng(seed)
    return LinearHead(
        weight=rng.normal(size=D), intercept=0.5, standardiser=Standardiser.identity(D), gain=3.0
    )


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(9).normal(size=(101, D)).astype(np.float32)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_each_wanted_row_is_scored_once_by_every_head(x, threads):
    wanted, told = np.arange(101) % 3 != 0, []
    found = score_all({"a": linear(0), "b": linear(1)}, Pieces(x), wanted, told.append, threads)
    assert sum(told) == wanted.sum()
    for seed, name in enumerate("ab"):
        score, raw = linear(seed).score_and_raw(x)
        np.testing.assert_allclose(found[name].score[wanted], score[wanted], rtol=1e-12)
        np.testing.assert_allclose(found[name].raw[wanted], raw[wanted], rtol=1e-12)
        assert np.isnan(found[name].score[~wanted]).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_piece_that_cannot_be_read_ends_it_with_its_own_line(x, threads):
    vectors = Pieces(x, broken=2)
    with pytest.raises(InputError, match="part 3 cannot be read"):
        score_all({"a": linear(0)}, vectors, np.ones(101, dtype=bool), lambda rows: None, threads)
    assert len(vectors.read) < len(vectors.pieces()), "what was not begun is not begun any more"


def narrow(seed: int) -> MlpHead:
    """An MLP that reads one direction of wide embeddings."""
    rng = np.random.default_rng(seed)
    first = np.outer(rng.normal(size=400), rng.normal(size=500)).astype(np.float32)
    last = rng.normal(size=(1, 400)).astype(np.float32)
    zeros = np.zeros(400, dtype=np.float32)
    layers = ((first, zeros), (last, zeros[:1]))
    return MlpHead(layers=layers, standardiser=Standardiser.identity(500))


@pytest.mark.parametrize("pays", [False, True])
def test_quick_forms_are_of_mlps_alone_and_in_ensembles(monkeypatch, pays):
    monkeypatch.setattr(quick, "bfloat16_pays", lambda n_out, n_in: pays)
    sample = np.random.default_rng(0).normal(size=(800, 500)).astype(np.float32)
    assert isinstance(quickened(narrow(0), sample), QuickMlp)
    head = linear(0)
    assert quickened(head, sample[:, :D]) is head
    together = EnsembleHead(members=(narrow(0), narrow(1))).normalised(sample)
    found = quickened(together, sample)
    assert all(isinstance(member, QuickMlp) for member in found.members)
    assert is_quick(found) and not is_quick(together)
    np.testing.assert_allclose(found.score(sample), together.score(sample), atol=0.1 if pays else 0.02)


def test_the_ceiling_is_the_regression_on_wanted_rows(x):
    golden = x @ np.arange(D) + 2
    golden[::2] = 99.0
    wanted = np.arange(101) % 2 == 1
    told: list[int] = []
    head = regression_on_golden(Pieces(x), golden, np.flatnonzero(wanted), told.append)
    assert sum(told) == wanted.sum()
    assert np.corrcoef(head.raw(x[wanted]), golden[wanted])[0, 1] > 0.999
    assert np.abs(head.raw(x[wanted]) - golden[wanted]).mean() < 1.0


def test_quick_forms_are_tried_where_there_is_much_to_score(monkeypatch):
    x = np.random.default_rng(0).normal(size=(800, 500)).astype(np.float32)
    heads, everything = {"mlp": narrow(0)}, np.ones(800, dtype=bool)
    assert quick_forms(heads, Pieces(x), everything) == heads
    monkeypatch.setattr(scoring, "WORTH_TRYING", 800)
    assert isinstance(quick_forms(heads, Pieces(x), everything)["mlp"], QuickMlp)
