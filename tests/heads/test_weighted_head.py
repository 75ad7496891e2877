"""Several objectives as one head: exact against a linear head made by hand, and the same after loading."""

from __future__ import annotations

import json

import numpy as np
import pytest
from edited import edit

from rmlab.errors import ConfigError, InputError
from rmlab.heads.fitted.base import Standardiser
from rmlab.heads.fitted.linear import LinearHead
from rmlab.heads.fitted.load import load_head
from rmlab.heads.fitted.several import EnsembleHead, WeightedHead

D = 6


def linear(seed: int, x: np.ndarray) -> LinearHead:
    rng = np.random.default_rng(seed)
    scaled = Standardiser(rng.normal(size=D), np.exp(rng.normal(size=D)))
    return LinearHead(weight=rng.normal(size=D), intercept=0.4, standardiser=scaled).normalised(x)


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(300, D))


@pytest.fixture
def both(x) -> dict[str, LinearHead]:
    return {"kind": linear(1, x), "brief": linear(2, x)}


@pytest.mark.parametrize("weights", [(0.3, 0.7), (2.0, -1.5), (0.0, 1.0)])
def test_of_linear_heads_it_is_the_linear_head_of_the_weighted_weights(both, x, weights):
    """sum_j w_j (gain_j ((x - mean_j) / scale_j . v_j + c_j) + bias_j), as one weight of x and a constant."""
    head = WeightedHead(members=both, weights=dict(zip(both, weights, strict=True)))
    slope, constant = np.zeros(D), 0.0
    for w, member in zip(weights, both.values(), strict=True):
        by_feature = member.weight / member.standardiser.scale
        slope += w * member.gain * by_feature
        constant += w * (
            member.gain * (member.intercept - member.standardiser.mean @ by_feature) + member.bias
        )
    np.testing.assert_allclose(head.raw(x), x @ slope + constant, rtol=0, atol=1e-12)


def test_the_corners_are_the_single_heads(both, x):
    head = WeightedHead(members=both, weights={"kind": 0.5, "brief": 0.5})
    assert head.with_weights({"kind": 1, "brief": 0}).score(x).tobytes() == both["kind"].score(x).tobytes()
    assert head.with_weights({"brief": 1, "kind": 0}).score(x).tobytes() == both["brief"].score(x).tobytes()


def test_rewards_are_normalised_and_the_same_after_loading(both, x, tmp_path):
    head = WeightedHead(members=both, weights={"kind": 0.8, "brief": -0.2}).normalised(x).tempered(2.5)
    assert head.score(x).mean() == pytest.approx(0, abs=1e-12)
    assert head.score(x).std() == pytest.approx(1)
    head.save(tmp_path / "head")
    loaded = load_head(tmp_path / "head")
    assert isinstance(loaded, WeightedHead)
    assert loaded.score(x).tobytes() == head.score(x).tobytes()
    assert (loaded.weights, loaded.temperature) == (head.weights, 2.5)
    other = {"kind": -1.0, "brief": 1.0}
    assert loaded.with_weights(other).score(x).tobytes() == head.with_weights(other).score(x).tobytes()


def test_an_objective_may_have_an_ensemble(both, x, tmp_path):
    several = EnsembleHead(members=tuple(both.values()), combine="min").normalised(x)
    head = WeightedHead(members={**both, "safe": several}, weights={"kind": 1, "brief": 2, "safe": -0.5})
    head.save(tmp_path / "head")
    assert load_head(tmp_path / "head").score(x).tobytes() == head.score(x).tobytes()


def test_what_was_changed_after_saving_is_refused(both, x, tmp_path):
    WeightedHead(members=both, weights={"kind": 1, "brief": 1}).save(tmp_path / "a")
    both["brief"].save(tmp_path / "a" / "objective-000")  # a whole head, but not the one that was saved
    with pytest.raises(InputError, match=r"the head.json of a member is not the file that was saved"):
        load_head(tmp_path / "a")
    WeightedHead(members=both, weights={"kind": 1, "brief": 1}).save(tmp_path / "b")
    file = tmp_path / "b" / "head.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "weights": [1, 5]}, indent=2) + "\n")
    with pytest.raises(InputError, match=r"head.json is not the file that was saved"):
        load_head(tmp_path / "b")


def test_a_folder_that_leads_into_itself_is_refused(both, tmp_path):
    WeightedHead(members=both, weights={"kind": 1, "brief": 1}).save(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    edit(tmp_path, members=["again", "objective-001"])
    with pytest.raises(InputError, match=r"again: a member of kind 'weighted' \(known: linear, .*ensemble\)"):
        load_head(tmp_path)


def test_weights_that_say_nothing_are_refused(both):
    with pytest.raises(
        ConfigError, match=r"weights are for kind, the heads for kind, brief; weigh each of these"
    ):
        WeightedHead(members=both, weights={"kind": 1})
    for bad in ({"kind": 0, "brief": 0}, {"kind": np.nan, "brief": 1}):
        with pytest.raises(ConfigError, match=r"must be finite, and one at least not 0"):
            WeightedHead(members=both, weights=bad)
