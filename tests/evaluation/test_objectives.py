"""Several golden rewards in one head: exact against heads fitted alone, and through every stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fitting_world import World, world
from scipy.stats import spearmanr
from small_settings import SMALL
from sweep_helpers import copied, heads, swept

from rmlab.config.hydra import load_settings
from rmlab.errors import ConfigError, InputError
from rmlab.evaluation.fit import Fit, fit_among, held_out
from rmlab.evaluation.fit_head import fit_head
from rmlab.heads.base import RewardHead
from rmlab.heads.fitted.centred import CentredHead
from rmlab.heads.fitted.load import load_head
from rmlab.heads.fitted.several import EnsembleHead, WeightedHead
from rmlab.pipeline.chain import chain_of, fit_node
from rmlab.pipeline.plan import in_order, load_arms, plan
from rmlab.pipeline.run import run_nodes
from rmlab.storage.artifact import Artifact, open_artifact

BASE = ("arms=[]", "comparisons.n=200", "comparisons.n_validation=100")
BOTH = "objectives={sentiment:1,length:-0.5}"


def settings(*more: str):
    return load_settings([*SMALL, *BASE, *more])


def rewards(w: World) -> dict[str, np.ndarray]:
    """sentiment is what judges; length depends on other directions of x."""
    other = w.x @ np.random.default_rng(5).normal(size=w.x.shape[1])
    return {"sentiment": w.responses.golden, "length": other}


def fitted(w: World, golden: Mapping[str, np.ndarray], *more: str) -> Fit:
    return fit_head(settings(*more), w.responses, w, golden)


def alone(w: World, golden: np.ndarray, *more: str) -> RewardHead:
    """A head of this golden reward, as an experiment with it alone fits it."""
    known = np.isfinite(golden)
    return fit_among(settings(*more), replace(w.responses, golden=golden), w, known).head


@pytest.mark.parametrize(
    "more",
    [(), ("head=trees", "loss=classification"), ("ensemble.members=2",), ("comparisons.rounds=2",)],
    ids=["linear", "trees", "ensemble", "rounds"],
)
def test_it_is_the_weighted_sum_of_the_heads_fitted_alone(more):
    w = world()
    golden = rewards(w)
    found = fitted(w, golden, BOTH, *more)
    members = {name: alone(w, values, *more) for name, values in golden.items()}
    by_hand = members["sentiment"].score(w.x) - 0.5 * members["length"].score(w.x)
    np.testing.assert_allclose(found.head.raw(w.x), by_hand, rtol=0, atol=1e-9)
    is_reference = ~held_out(settings(), w.responses)
    assert found.head.score(w.x)[is_reference].mean() == pytest.approx(0, abs=1e-9)
    assert found.head.score(w.x)[is_reference].std() == pytest.approx(1)
    if "ensemble.members=2" in more:
        assert all(isinstance(m, EnsembleHead) for m in found.head.members.values())


def test_one_objective_alone_is_the_head_of_that_reward():
    """The judging reward alone: the same order, the same probabilities of pairs, the same agreement."""
    w = world()
    found, single = fitted(w, rewards(w), "objectives={sentiment:2}"), fitted(w, {})
    log_odds = [f.head.raw(w.x) / f.head.temperature for f in (found, single)]
    np.testing.assert_allclose(*(v - v.mean() for v in log_odds), rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.head.score(w.x), single.head.score(w.x), rtol=0, atol=1e-9)
    assert found.label_accuracy == single.label_accuracy
    assert found.label_nll == pytest.approx(single.label_nll, abs=1e-6)
    assert found.n_annotated == single.n_annotated


def test_weights_say_how_much_of_each_deviation_counts():
    """Without noise the heads find their rewards, so the sum orders as the weighted standardised rewards."""
    w = world(prompts=200)
    golden = rewards(w)
    more = ("noise=none", "comparisons.n=3000")
    unit = {name: (v - v.mean()) / v.std() for name, v in golden.items()}
    for a, b in ((1.0, 1.0), (1.0, -0.5), (0.2, 1.0)):
        head = fitted(w, golden, f"objectives={{sentiment:{a},length:{b}}}", *more).head
        wanted = a * unit["sentiment"] + b * unit["length"]
        assert spearmanr(head.score(w.x), wanted).statistic > 0.98


def test_answers_of_both_rewards_are_counted_and_labelled_by_their_own():
    w = world()
    golden = rewards(w)
    found = fitted(w, golden, BOTH)
    n_train, n_validation = 200, 100
    assert len(found.train) == 2 * n_train and len(found.validation) == n_validation
    assert found.reports["train"]["n_annotated"] == 2 * n_train
    assert found.n_annotated == 2 * (n_train + n_validation)
    for name, part in found.parts.items():
        first, second = golden[name][part.train.items].T
        np.testing.assert_array_equal(part.train.correct, first > second)
    other = fitted(w, golden, "objectives={length:1}")  # the judging reward is asked for its temperature
    assert other.n_annotated == n_train + 2 * n_validation


def test_responses_on_which_an_objective_failed_are_not_compared_by_it():
    w = world()
    golden = rewards(w)
    failed = np.random.default_rng(3).random(len(w.x)) < 0.2
    golden["length"] = np.where(failed, np.nan, golden["length"])
    found = fitted(w, golden, BOTH)
    assert not failed[found.parts["length"].train.items].any()
    assert failed[found.parts["sentiment"].train.items].any()
    golden["length"] = np.full(len(w.x), np.nan)
    with pytest.raises(InputError, match=r"^of objective length: "):
        fitted(w, golden, BOTH)


def test_rewards_that_cancel_are_told():
    w = world()
    same = dict.fromkeys(("sentiment", "length"), w.responses.golden)
    found = fitted(w, same, "objectives={sentiment:1,length:-1}")
    assert np.ptp(found.head.score(w.x)) == 0
    assert [note for note in found.log.notes if "rewards cancel" in note]
    assert not [note for note in fitted(w, rewards(w), BOTH).log.notes if "cancel" in note]


def test_centred_heads_are_weighted_behind_one_centring(tmp_path):
    w = world()
    found = fitted(w, rewards(w), BOTH, "head.centre=prompt", "loss=classification").head
    assert isinstance(found, CentredHead) and isinstance(found.head, WeightedHead)
    assert not any(isinstance(member, CentredHead) for member in found.head.members.values())
    found.save(tmp_path / "head")
    group = w.responses.group
    assert load_head(tmp_path / "head").score(w.x, group).tobytes() == found.score(w.x, group).tobytes()


@pytest.fixture(scope="module")
def ran(small_run, tmp_path_factory) -> dict[str, Artifact]:
    """One arm of one reward and two of several, by cross-validation too; name -> artifact."""
    out = copied(small_run, tmp_path_factory.mktemp("objectives") / "artifacts")
    arms = f"arms=['head=linear','{BOTH.replace(' ', '')}','objectives={{length:1}}']"
    nodes = plan(load_arms([*SMALL, f"out={out}", arms, "crossval.folds=3"]))
    outcomes = run_nodes(nodes, "test", quiet=True)
    return {f"{o.node.stage}:{o.node.name}": o.artifact for o in outcomes if o.artifact is not None}


def test_an_arm_of_objectives_goes_through_every_stage(ran):
    fit = ran["fit_rm:linear-bradley_terry.objectives_sentiment_1_length_-0.5"]
    comparisons = fit.read("comparisons").to_pandas()
    counts = comparisons.groupby(["split", "reward"]).size()
    assert set(counts.index) == {(s, r) for s in ("train", "validation") for r in ("sentiment", "length")}
    assert list(comparisons["comparison"]) == list(range(len(comparisons)))
    assert fit.manifest.metrics["objectives"]["length"]["weight"] == -0.5
    log = fit.read("training_log").to_pandas()
    assert set(log["objective"]) == {"sentiment", "length"}
    assert isinstance(load_head(fit.path / "head"), WeightedHead)
    metrics = ran["eval_rm:smoke"].read("metrics").to_pandas()
    by_arm = metrics[(metrics["split"] == "test") & (metrics["metric"] == "best_of_n")].set_index("arm")
    assert np.isfinite(by_arm.loc[fit.manifest.name, "value"])
    heldout = ran["heldout:smoke"].read("heldout").to_pandas()
    assert fit.manifest.name in set(heldout["arm"])


def test_head_choice_goes_by_the_answers_of_the_judging_reward_alone(ran):
    """Each arm is judged on the same answers, as if no arm had another objective."""
    metrics = ran["eval_rm:smoke"].read("metrics").to_pandas()
    found = metrics[(metrics["split"] == "validation") & (metrics["metric"] == "label_accuracy")]
    single = ran["fit_rm:linear-bradley_terry"].read("comparisons").to_pandas()
    single = single[single["split"] == "validation"]
    scores = ran["eval_rm:smoke"].read("head_scores").to_pandas()
    assert len(found) == 3
    for row in found.itertuples():
        score = scores[scores["arm"] == row.arm].set_index("response_id")["score"]
        lead = [np.sign(score[a] - score[b]) for a, b in single["items"]]
        assert row.value == pytest.approx(np.mean((np.array(lead) + 1) / 2))


@pytest.mark.usefixtures("inline")
def test_a_sweep_over_weights_has_the_numbers_of_the_arms(out, ran):
    grid = "objectives={sentiment:1,length:-0.5},{length:1}"
    table = heads(swept(out, grid))
    assert list(table["state"]) == ["ok", "ok"]
    metrics = ran["eval_rm:smoke"].read("metrics").to_pandas()
    metrics = metrics[(metrics["split"] == "test") & (metrics["metric"] == "best_of_n")].set_index("arm")
    arms = [a for a in metrics.index if "objectives" in a]
    assert sorted(table["test_best_of_n"]) == pytest.approx(sorted(metrics.loc[arms, "value"]))


def test_objectives_are_part_of_identity_only_where_there_are_some():
    def node(*more: str):
        arm = settings(*more)
        return fit_node(chain_of(arm), "head", arm)

    assert "objectives" not in node().config
    different = {node(more).fingerprint for more in (BOTH, "objectives={sentiment:1}", "objectives=null")}
    assert len(different) == 3
    assert node("objectives={length:1}").fingerprint != node("objectives={length:2}").fingerprint


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("objectives={kindness:1}", r"kindness, which is not one of the golden rewards: sentiment, length; "
         r"list it too: 'golden=\[sentiment,length,kindness\]'"),
        ("objectives={sentiment:0}", r"all weights are 0"),
        ("objectives={}", r"^objectives: give golden rewards with their weights, such as \{sentiment:1,"),
        ("objectives=[sentiment,length]", r"^objectives: give golden rewards with their weights"),
        ("objectives=sentiment", r"^objectives: give golden rewards with their weights"),
        ("objectives={sentiment:inf}", r"finite"),
        ("objectives={sentiment:1e308,length:1e308}", r"from 1e-6 to 1e6"),
        ("objectives={sentiment:1e-320}", r"from 1e-6 to 1e6"),
        ("objectives={sentiment:much}", r"objectives\.sentiment"),
        (f"{BOTH} teacher.n=20", r"leave out objectives, or set teacher\.n=null"),
    ],
)  # fmt: skip
def test_objectives_that_cannot_be_are_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        settings(*override.split())


def test_rewards_of_an_embedding_set_are_named_as_the_set_names_them(tmp_path):
    shipped = next(Path("data/released").iterdir())
    more = ["experiment=embedding_set", f"input={shipped}", f"out={tmp_path}", "arms=[]", "comparisons.n=100"]
    s = load_settings([*more, "objectives={descriptiveness:1,file:0.5}"])
    assert list(s.golden) == ["file", "descriptiveness"] and s.labelling == "file"
    node = fit_node(chain_of(s), "head", s)
    run_nodes(in_order(*chain_of(s).values(), node), "test", quiet=True)
    asked = open_artifact(node.folder).read("comparisons").to_pandas()
    assert set(asked["reward"]) == {"descriptiveness", "file"}


def test_comparisons_tables_say_which_reward_was_asked(ran):
    single: pd.DataFrame = ran["fit_rm:linear-bradley_terry"].read("comparisons").to_pandas()
    assert set(single["reward"]) == {"sentiment"}
