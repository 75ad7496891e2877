"""Agreement of two heads, against scikit-learn's kappa."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from rmlab.metrics.calibration import pair_agreement

margins = st.lists(st.tuples(*[st.sampled_from([-2.0, -1.0, 0.0, 1.0, 3.0])] * 2), min_size=1, max_size=30)


@given(margins)
def test_share_and_kappa(pairs):
    a, b = np.array(pairs).T
    kept = (a != 0) & (b != 0)
    found = pair_agreement(a, b)
    assert found.n == kept.sum()
    if not found.n:
        assert np.isnan(found.share) and np.isnan(found.kappa)
        return
    first, second = a[kept] > 0, b[kept] > 0
    assert found.share == pytest.approx((first == second).mean())
    if len({*first, *second}) == 2:
        assert found.kappa == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)
    else:
        assert np.isnan(found.kappa)


def test_the_same_head_agrees_with_itself_and_its_reverse_never():
    a = np.array([1.0, -2.0, 0.5, -0.1])
    assert pair_agreement(a, a).kappa == 1 and pair_agreement(a, -a).share == 0
