"""An ensemble as one head: how members combine, how it is normalised, and how it is kept."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from edited import edit

from rmlab.errors import InputError
from rmlab.heads.ensemble import Ensemble
from rmlab.heads.fitted.base import Standardiser
from rmlab.heads.fitted.linear import LinearHead
from rmlab.heads.fitted.load import load_head
from rmlab.heads.fitted.several import EnsembleHead
from rmlab.heads.linear import Linear
from rmlab.heads.mlp import Mlp
from rmlab.heads.trees import Trees
from rmlab.losses.pairs import Classification


def plain(*weight: float, intercept: float = 0.0) -> LinearHead:
    return LinearHead(
        weight=np.array(weight), intercept=intercept, standardiser=Standardiser.identity(len(weight))
    )


X = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 1.0]])
MEMBERS = (plain(1.0, 0.0), plain(0.0, 1.0), plain(2.0, 2.0, intercept=3.0))
RAW = np.array([[1.0, 0.0, 5.0], [0.0, 2.0, 7.0], [3.0, 1.0, 11.0]])


@pytest.fixture(params=["mean", "min", "lcb"])
def fitted(request, linear_world):
    """Three members of unlike scale, each with its own idea of the reward."""
    members = [Linear(l2=l2).fit(linear_world.data, Classification(), 0)[0] for l2 in (0.01, 1.0, 100.0)]
    return EnsembleHead(members=tuple(members), combine=request.param, k=0.5)


def test_combines_as_by_hand():
    head = EnsembleHead(members=MEMBERS)
    np.testing.assert_allclose(head.member_raw(X), RAW)
    np.testing.assert_allclose(head.score(X), [2.0, 3.0, 5.0])
    np.testing.assert_allclose(replace(head, combine="min").score(X), [0.0, 0.0, 1.0])
    std = np.sqrt([14 / 3, 26 / 3, 56 / 3])
    np.testing.assert_allclose(replace(head, combine="lcb", k=2.0).score(X), [2, 3, 5] - 2 * std)
    np.testing.assert_allclose(replace(head, gain=3.0, bias=1.0).uncertainty(X), 3 * std)


def test_members_are_standardised_before_they_combine():
    z = (RAW - RAW.mean(axis=0)) / RAW.std(axis=0)
    head = EnsembleHead(members=MEMBERS, combine="min").normalised(X)
    expected = z.min(axis=1)
    np.testing.assert_allclose(head.score(X), (expected - expected.mean()) / expected.std())
    np.testing.assert_allclose([member.score(X) for member in head.members], z.T)


def test_raw_is_the_mean_score_whatever_the_normalisation(fitted, linear_world):
    x = linear_world.data.x
    expected = np.mean([member.raw(x) for member in fitted.members], axis=0)
    np.testing.assert_allclose(fitted.raw(x), expected, atol=1e-12)
    np.testing.assert_array_equal(fitted.normalised(x[:200]).raw(x), fitted.raw(x))
    score, raw = fitted.normalised(x[:200]).score_and_raw(x)
    np.testing.assert_array_equal(raw, fitted.raw(x))
    np.testing.assert_array_equal(score, fitted.normalised(x[:200]).score(x))


def test_normalised_on_the_reference(fitted, linear_world):
    reference = linear_world.data.x[:200]
    normalised = fitted.normalised(reference)
    scores = normalised.score(reference)
    assert abs(scores.mean()) < 1e-9
    assert scores.std() == pytest.approx(1.0, abs=1e-9)
    again = normalised.normalised(reference)
    np.testing.assert_allclose(again.score(reference), scores, atol=1e-12)


def test_calibrated_is_normalised_without_the_embeddings(fitted, linear_world):
    x = linear_world.data.x
    calibrated = fitted.calibrated(fitted.member_raw(x[:200]))
    assert calibrated.score(x).tobytes() == fitted.normalised(x[:200]).score(x).tobytes()
    assert calibrated.combined(calibrated.member_raw(x)).tobytes() == calibrated.score(x).tobytes()


def test_caution_never_raises_a_reward(fitted, linear_world):
    x = linear_world.data.x
    mean = replace(fitted, combine="mean").score(x)
    assert (fitted.score(x) <= mean + 1e-12).all()


def test_of_one_member_it_is_that_member(linear_world):
    x = linear_world.data.x
    member, _ = Linear(l2=0.1).fit(linear_world.data, Classification(), 0)
    for combine in ("mean", "min", "lcb"):
        head = EnsembleHead(members=(member,), combine=combine)
        np.testing.assert_allclose(head.score(x), member.score(x), atol=1e-12)
        np.testing.assert_allclose(head.normalised(x).score(x), member.normalised(x).score(x), atol=1e-9)


def test_a_constant_member_does_no_harm():
    head = EnsembleHead(members=(plain(1.0, 0.0), plain(0.0, 0.0, intercept=4.0))).normalised(X)
    np.testing.assert_allclose(head.score(X), (X[:, 0] - X[:, 0].mean()) / X[:, 0].std(), atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 4), (5,)])
def test_refuses_what_its_members_refuse(fitted, shape):
    with pytest.raises(InputError, match="embeddings of width 5"):
        fitted.score(np.zeros(shape))
    with pytest.raises(InputError, match="NaN or infinity"):
        fitted.raw(np.full((3, 5), np.nan))
    with pytest.raises(InputError, match="no reference responses"):
        fitted.normalised(np.zeros((0, 5)))


def test_refuses_members_of_different_widths():
    with pytest.raises(ValueError, match="same width"):
        EnsembleHead(members=(plain(1.0), plain(1.0, 2.0)))


MIXED = [Linear(l2=0.1), Mlp(hidden=[4], epochs=1), Trees(n_estimators=5)]


@pytest.mark.parametrize("member", MIXED, ids=["linear", "mlp", "trees"])
def test_same_bits_after_save_and_load(member, linear_world, tmp_path):
    x = linear_world.data.x
    head = Ensemble(member, members=2, combine="lcb", k=0.7, resample=False).fit(
        linear_world.data, Classification(), 0
    )[0]
    normalised = head.normalised(x[:200])
    normalised.save(tmp_path / "deep" / "head")
    loaded = load_head(tmp_path / "deep" / "head")
    assert type(loaded) is EnsembleHead
    assert loaded.score(x).tobytes() == normalised.score(x).tobytes()
    assert loaded.raw(x).tobytes() == normalised.raw(x).tobytes()
    assert (loaded.combine, loaded.k, loaded.gain) == ("lcb", 0.7, normalised.gain)
    loaded.save(tmp_path / "again")
    files = [file.relative_to(tmp_path / "again") for file in (tmp_path / "again").rglob("*.*")]
    assert len(files) == 5
    assert all(
        (tmp_path / "again" / f).read_bytes() == (tmp_path / "deep/head" / f).read_bytes() for f in files
    )


def nest(folder) -> None:
    shutil.copytree(folder, folder / "nested")
    edit(folder, members=["member-000", "nested"])


BREAKS = {
    "no readable head.json": lambda folder: (folder / "head.json").unlink(),
    r"member-001: no readable head.json": lambda folder: shutil.rmtree(folder / "member-001"),
    r"member-001: no readable head.safetensors": lambda folder: (
        folder / "member-001" / "head.safetensors"
    ).unlink(),
    r"member-001: head.safetensors is not the file that was saved": lambda folder: (
        folder / "member-001" / "head.safetensors"
    ).write_bytes(b"cut"),
    r"the head.json of a member is not the file that was saved": lambda folder: edit(
        folder / "member-000", gain=2.0
    ),
    r"incomplete \(KeyError: 'combine'\)": lambda folder: edit(folder, combine=None),
    r"incomplete \(ValueError: combine must be one of": lambda folder: edit(folder, combine="max"),
    r"incomplete \(TypeError": lambda folder: edit(folder, members=2),
    r"a member of kind 'ensemble' \(known: linear": nest,
}


@pytest.mark.parametrize("message", BREAKS)
def test_refuses_a_broken_folder(message, tmp_path):
    EnsembleHead(members=MEMBERS).save(tmp_path)
    load_head(tmp_path)
    BREAKS[message](tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        load_head(tmp_path)
    assert "\n" not in str(caught.value)
    assert "fit the head again" in str(caught.value)
