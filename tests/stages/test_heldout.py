"""Held-out accuracy of an experiment with human pairs, recomputed by hand from what the stages wrote."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from human_pairs import SMALL_PAIRS, TIES, pair_rows, write_rows

from rmlab.config.hydra import load_settings
from rmlab.evaluation.fit_head import fit_head
from rmlab.evaluation.heldout import HeldOutPairs, folds_of, groups_of, length_margins
from rmlab.pipeline.plan import load_arms, plan
from rmlab.pipeline.run import run_nodes
from rmlab.responses.table import Responses, read_responses
from rmlab.responses.vectors import StreamedVectors
from rmlab.stages.heldout import recommended
from rmlab.storage.heldout_schema import HELDOUT_TABLES

N = 90


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    file = write_rows(folder / "pairs.jsonl", pair_rows(N))
    overrides = [*SMALL_PAIRS, f"input={file}", f"out={folder / 'out'}"]
    outcomes = run_nodes(plan(load_arms(overrides)), "test", quiet=True)
    return {f"{o.node.stage}/{o.node.name}": o.artifact for o in outcomes}


@pytest.fixture(scope="module")
def everyone(ran) -> Responses:
    sample = next(a for name, a in ran.items() if name.startswith("sample/"))
    return read_responses(sample, ran["annotate/file"], ["train", "test"])


@pytest.fixture(scope="module")
def heldout(ran):
    return ran["heldout/human_preferences"]


def frame(heldout, name) -> pd.DataFrame:
    return heldout.read(name).to_pandas()


def test_tables_have_their_schemas_and_unique_keys(ran, heldout):
    for table in HELDOUT_TABLES:
        holder = heldout if table.stage == "heldout" else ran["crossval/linear-bradley_terry"]
        written = holder.read(table.name)
        assert written.schema.equals(table.schema), table.name
        assert not written.to_pandas().duplicated(list(table.key)).any(), table.name


def test_pairs_ties_and_groups_are_accounted_for(heldout):
    rows = frame(heldout, "heldout").set_index(["split", "arm"])
    cv = rows.loc["cv"]
    assert set(cv.index) == {"linear-bradley_terry", "mlp-classification", "logistic_regression", "length"}
    assert (cv["n_pairs"] == N - TIES).all() and (cv["n_ties"] == TIES).all()
    test = rows.loc["test"]
    assert (test["n_pairs"] + test["n_ties"] < N).all() and (test["n_groups"] < 30).all()
    assert heldout.manifest.counts["cv_pairs"] == N - TIES


def test_accuracy_is_the_share_of_pairs_won(heldout):
    pairs = frame(heldout, "heldout_pairs")
    won = (1 + np.sign(pairs["margin"])) / 2
    by_hand = won.groupby([pairs["split"], pairs["arm"]]).mean()
    rows = frame(heldout, "heldout").set_index(["split", "arm"])
    pd.testing.assert_series_equal(rows["value"].sort_index(), by_hand, check_names=False)
    assert (rows["low"] <= rows["value"]).all() and (rows["value"] <= rows["high"]).all()
    baseline = by_hand.xs("logistic_regression", level="arm")
    over = by_hand - baseline.reindex(by_hand.index.get_level_values("split")).to_numpy()
    np.testing.assert_allclose(rows["over"].sort_index(), over, atol=1e-12)
    assert (rows.xs("logistic_regression", level="arm")[["over_low", "over_high"]] == 0).all(axis=None)
    # one in five answers is wrong, and the rest can be told from single words
    assert 0.65 < by_hand["cv", "linear-bradley_terry"] < 0.95


def test_the_summary_has_paired_differences_and_recommends_by_cross_validation(heldout):
    rows = frame(heldout, "heldout").set_index(["split", "arm"])
    summary = heldout.manifest.metrics["heldout_accuracy"]
    for arm, found in summary.items():
        for split, numbers in (("test", found), ("cv", found["cv"])):
            for name in ("value", "over", "over_low", "over_high"):
                assert numbers[name] == pytest.approx(rows.loc[(split, arm), name])
    heads = rows.loc["cv"].query("kind == 'head' and over >= 0").sort_values("value", ascending=False)
    assert heldout.manifest.metrics["recommended"] == list(heads.index)
    assert [len(heldout.manifest.metrics["baseline_c"][split]) for split in ("test", "cv")] == [1, 3]


def test_a_head_below_the_baseline_is_not_recommended_whatever_the_test_pairs_say():
    def row(arm, split, value, over, kind="head"):
        return {"arm": arm, "split": split, "value": value, "over": over, "kind": kind}

    rows = [
        row("lucky", "test", 0.9, 0.2),
        row("lucky", "cv", 0.64, -0.01),
        row("even", "test", 0.5, -0.2),
        row("even", "cv", 0.65, 0.0),
        row("better", "cv", 0.66, 0.01),
        row("length", "cv", 0.7, 0.05, "control"),
    ]
    assert recommended(rows) == ["better", "even"]
    assert recommended(rows[:2]) == []


def test_no_group_is_fitted_on_and_judged(ran, everyone):
    table = ran["crossval/linear-bradley_terry"].read("crossval_scores").to_pandas()
    group = pd.Series(groups_of(everyone), index=everyone.ids.tolist())
    assert table.groupby(group.loc[table["response_id"]].to_numpy())["fold"].nunique().max() == 1
    assert sorted(table["response_id"]) == sorted(everyone.ids.tolist()) and table["fold"].nunique() == 3


def test_a_fold_is_scored_by_a_head_fitted_on_the_others(ran, everyone):
    """The same fit by hand, from which the fold's rows were removed before anything looked at them."""
    settings = load_settings([*SMALL_PAIRS, "input=x", "head=linear", "loss=bradley_terry"])
    fold = folds_of(everyone, settings.crossval)
    rest, here = np.flatnonzero(fold != 1), np.flatnonzero(fold == 1)
    embed = next(a for name, a in ran.items() if name.startswith("embed/"))
    train = everyone.take(rest)
    head = fit_head(settings, train, StreamedVectors(embed, train.ids)).head
    x = StreamedVectors(embed, everyone.ids.take(here)).rows(np.arange(len(here)))
    table = ran["crossval/linear-bradley_terry"].read("crossval_scores").to_pandas()
    raw = table.set_index("response_id").loc[everyone.ids.take(here).tolist(), "raw"]
    np.testing.assert_allclose(raw, head.raw(x) / head.temperature, atol=1e-9)


def test_labels_that_say_nothing_give_a_coin(tmp_path):
    """Were a held-out pair ever fitted on, the MLP would know its coin."""
    rows = pair_rows(N, noise=0.5, seed=1)
    file = write_rows(tmp_path / "coins.jsonl", rows)
    nodes = plan(load_arms([*SMALL_PAIRS, f"input={file}", f"out={tmp_path / 'out'}"]))
    found = run_nodes([n for n in nodes if n.stage != "report"], "test", quiet=True)[-1].artifact
    cv = frame(found, "heldout").query("split == 'cv' and arm != 'length'")
    assert (cv["low"] <= 0.62).all() and (cv["high"] >= 0.38).all()


def test_calibration_counts_every_pair_once(heldout):
    bins = frame(heldout, "heldout_calibration")
    counts = bins.groupby(["split", "arm"])["count"].sum()
    assert (counts["cv"] == N - TIES).all() and "length" not in counts["cv"]


def test_agreement_is_of_every_two_arms(heldout):
    found = frame(heldout, "heldout_agreement").query("split == 'cv'").set_index(["arm", "other"])
    pairs = frame(heldout, "heldout_pairs").query("split == 'cv'")
    wide = pairs.pivot(index="preferred", columns="arm", values="margin")
    assert len(found) == 6
    for (arm, other), row in found.iterrows():
        decided = wide[(wide[arm] != 0) & (wide[other] != 0)]
        alike = (np.sign(decided[arm]) == np.sign(decided[other])).mean()
        assert row["share"] == pytest.approx(alike, nan_ok=True) and row["n_pairs"] == len(decided)


def test_length_takes_the_direction_that_pays_outside():
    """Three prompts: longer answers win in parts 0 and 1, shorter in part 2, so part 0 hears both sides."""
    group = np.repeat([0, 1, 2, 3], 2)
    golden = np.array([1.0, 0.0] * 3 + [0.0, 1.0])
    r = Responses(np.arange(8).astype(str), group.astype(str), golden, group)
    lengths = np.array([9.0, 2.0] * 4)
    pairs, parts = HeldOutPairs.among(r, np.ones(8, dtype=bool)), np.array([0, 0, 0, 0, 1, 1, 1, 1])
    margins = dict(zip(pairs.first, length_margins(r, lengths, pairs, parts), strict=True))
    assert margins == {0: 7, 2: 7, 4: 7, 6: -7}
    short = {int(k): v for k, v in zip(pairs.first, length_margins(r, -lengths, pairs, parts), strict=True)}
    assert short == {0: -7, 2: -7, 4: 7, 6: -7}


def test_a_baseline_that_did_not_converge_is_said(heldout, tmp_path, monkeypatch):
    assert not any("converged" in w for w in heldout.manifest.warnings)
    monkeypatch.setattr("rmlab.heads.baselines.ITERATIONS", 1)
    file = write_rows(tmp_path / "pairs.jsonl", pair_rows(N))
    nodes = plan(load_arms([*SMALL_PAIRS, f"input={file}", f"out={tmp_path / 'out'}"]))
    found = run_nodes([n for n in nodes if n.stage != "report"], "test", quiet=True)[-1].artifact
    said = [w for w in found.manifest.warnings if "converged" in w]
    assert [w.partition(" fits of the baseline")[0] for w in said] == ["1", "3"]
