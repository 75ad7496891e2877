from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from rmlab.errors import ConfigError, InputError
from rmlab.losses.pairs import BradleyTerry, SoftLabels

LOSS = SoftLabels()


def test_one_annotator_is_bradley_terry_bit_for_bit(table, normal):
    scores = 5 * normal(200, 2)
    assert torch.equal(LOSS(scores, table(200)), BradleyTerry()(scores, table(200)))
    against = BradleyTerry()(scores.flip(1), table(200))
    assert torch.equal(LOSS(scores, table(200, share=np.zeros(200))), against)


def test_a_share_of_annotators_equals_a_row_for_each_vote(table, normal, minimum):
    rng = np.random.default_rng(0)
    x = normal(40, 2, 3).detach()
    votes, annotators = rng.integers(0, 6, 40), 5
    shared = table(40, share=votes / annotators)
    row, won = np.repeat(np.arange(40), annotators), np.tile(np.arange(annotators), 40)
    swapped = torch.from_numpy(won >= votes[row])
    single = torch.where(swapped[:, None, None], x[row].flip(1), x[row])

    soft = minimum(lambda w: LOSS(x @ w, shared).sum(), 3)
    rows = minimum(lambda w: BradleyTerry()(single @ w, table(200)).sum() / annotators, 3)
    np.testing.assert_allclose(soft, rows, atol=1e-6)
    scores = x @ torch.from_numpy(soft)
    by_row = BradleyTerry()(single @ torch.from_numpy(soft), table(200)).reshape(40, annotators)
    torch.testing.assert_close(LOSS(scores, shared), by_row.mean(dim=1))


def test_it_equals_the_cross_entropy_of_torch(table, normal):
    scores, share = 3 * normal(50, 2), np.linspace(0, 1, 50)
    expected = binary_cross_entropy_with_logits(
        scores[:, 0] - scores[:, 1], torch.from_numpy(share), reduction="none"
    )
    torch.testing.assert_close(LOSS(scores, table(50, share=share)), expected)


def test_gradient_check(table, normal):
    comparisons = table(7, share=np.linspace(0, 1, 7))
    assert torch.autograd.gradcheck(lambda s: LOSS(s, comparisons), (normal(7, 2),))


def test_extreme_scores_stay_exact_and_finite(at_extremes):
    share = np.array([0.75, 0.75, 1.0, 0.0])
    value, gradient = at_extremes(LOSS, [[1e4, -1e4], [-1e4, 1e4], [1e4, -1e4], [1e4, -1e4]], share=share)
    torch.testing.assert_close(value, torch.tensor([5000.0, 15000.0, 0, 2e4]).double())
    torch.testing.assert_close(
        gradient, torch.tensor([[0.25, -0.25], [-0.75, 0.75], [0, 0], [1, -1]]).double()
    )


def test_bad_input_is_refused(table):
    with pytest.raises(ConfigError, match="soft_labels compares 2 responses, not 3"):
        LOSS(torch.zeros(4, 3), table(4, 3))
    for share in (1.5, -0.1, math.nan):
        with pytest.raises(InputError, match="soft_labels needs shares"):
            LOSS(torch.zeros(1, 2), table(1, share=np.array([share])))
