import numpy as np
import pytest

from rmlab.config.components import build
from rmlab.errors import ConfigError, InputError
from rmlab.goldens.weighted import Weighted

A, B = np.array([1.0, 3.0, 5.0, 100.0]), np.array([2.0, 2.0, 8.0, -4.0])
TRAIN = np.array([True, True, True, False])


def test_each_part_is_standardised_on_the_train_rows():
    found, facts = Weighted({"a": 2.0, "b": -1.0}).combine({"a": A, "b": B}, TRAIN)
    z = [(x - x[:3].mean()) / x[:3].std() for x in (A, B)]
    np.testing.assert_allclose(found, 2 * z[0] - z[1])
    assert facts["a"] == {"weight": 2.0, "mean": 3.0, "deviation": pytest.approx(np.sqrt(8 / 3))}
    assert abs(found[:3].mean()) < 1e-12


def test_one_part_is_that_reward_standardised():
    found, _ = Weighted({"a": 1.0}).combine({"a": A}, TRAIN)
    assert found[:3].mean() == pytest.approx(0) and found[:3].std() == pytest.approx(1)


def test_unstandardised_it_is_the_plain_sum():
    found, _ = Weighted({"a": 0.5, "b": 1.0}, standardise=False).combine({"a": A, "b": B}, TRAIN)
    np.testing.assert_allclose(found, 0.5 * A + B)


def test_a_row_that_any_part_failed_on_has_no_sum_and_counts_nowhere():
    holed = np.array([1.0, np.nan, 5.0, 100.0])
    found, facts = Weighted({"a": 1.0, "b": 1.0}).combine({"a": holed, "b": B}, TRAIN)
    assert np.isnan(found).tolist() == [False, True, False, False]
    assert facts["b"]["mean"] == 5.0 and facts["a"]["mean"] == 3.0


def test_a_constant_part_is_an_error_only_where_it_must_be_scaled():
    constant = np.full(4, 0.1)
    with pytest.raises(InputError, match=r"golden reward b gives all train responses the same score, 0\.1"):
        Weighted({"a": 1.0, "b": 1.0}).combine({"a": A, "b": constant}, TRAIN)
    found, _ = Weighted({"a": 1.0, "b": 1.0}, standardise=False).combine({"a": A, "b": constant}, TRAIN)
    np.testing.assert_allclose(found, A + 0.1)


def test_no_train_row_is_an_error():
    with pytest.raises(InputError, match="no train response has a score of all of a, b"):
        Weighted({"a": 1.0, "b": 1.0}).combine({"a": A, "b": B}, ~TRAIN & (A > 1000))


@pytest.mark.parametrize(("weights", "message"), [({}, "weights is empty"), ({"a": "inf"}, "finite")])
def test_weights_are_checked(weights, message):
    with pytest.raises(ConfigError, match=message):
        build({"_target_": "rmlab.goldens.weighted.Weighted", "weights": weights})
