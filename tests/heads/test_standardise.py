"""Standardisation: by the training rows alone, blind to units, harmless for constant features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rmlab.heads.linear import Linear
from rmlab.losses.pairs import BradleyTerry


def test_standardises_by_training_rows_only(linear_world):
    x, used = linear_world.data.x, np.unique(linear_world.data.train.items)
    head, _ = Linear(l2=0.1).fit(linear_world.data, BradleyTerry(), 0)
    np.testing.assert_allclose(head.standardiser.mean, x[used].mean(axis=0, dtype=np.float64))
    np.testing.assert_allclose(head.standardiser.scale, x[used].std(axis=0, dtype=np.float64))
    others = x.copy()
    others[np.setdiff1d(np.arange(len(x)), used)] *= 100
    moved, _ = Linear(l2=0.1).fit(replace(linear_world.data, x=others), BradleyTerry(), 0)
    assert np.array_equal(head.weight, moved.weight)


def test_standardising_makes_l2_blind_to_units(linear_world):
    scaled = replace(linear_world.data, x=linear_world.data.x * 64)
    one, _ = Linear(l2=0.1).fit(linear_world.data, BradleyTerry(), 0)
    other, _ = Linear(l2=0.1).fit(scaled, BradleyTerry(), 0)
    np.testing.assert_allclose(one.score(linear_world.data.x), other.score(scaled.x), atol=1e-5)


@pytest.mark.parametrize("last_bits", [0, 1])
def test_constant_feature_does_no_harm(last_bits, linear_world):
    """Constant, or so but for the last bit of one row: rounding must not become a feature."""
    constant = np.full((len(linear_world.data.x), 1), 1000.0, dtype=np.float32)
    if last_bits:
        constant[linear_world.data.train.items[0, 0]] = np.nextafter(np.float32(1000), np.float32(2000))
    data = replace(linear_world.data, x=np.hstack([linear_world.data.x, constant]))
    head, _ = Linear(l2=0.1).fit(data, BradleyTerry(), 0)
    assert head.standardiser.scale[-1] == 1.0
    assert abs(head.weight[-1]) < 1e-4
    assert np.isfinite(head.score(data.x)).all()
