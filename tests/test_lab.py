"""fit-rm and eval-rm over losses, heads, pairings, noise, selection and ensembles: numbers mean what they say."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_settings import SMALL

from rmlab.heads.fitted.load import load_head
from rmlab.heads.fitted.several import EnsembleHead
from rmlab.responses.vectors import matrix
from rmlab.storage.artifact import Artifact, open_artifact

CONF = Path(__file__).parents[1] / "conf"
QUICK = {"mlp": "head.hidden=[8] head.epochs=3", "trees": "head.n_estimators=5 head.min_child_samples=3"}


@dataclass(frozen=True)
class Fitted:
    """One fit_rm artifact beside what it was made of; name: of the arm, which may have been fitted under another."""

    name: str
    artifact: Artifact
    golden: pd.Series  # by response id
    embeddings: pd.Series

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        return self.artifact.read("comparisons").to_pandas()

    @cached_property
    def train(self) -> pd.DataFrame:
        return self.comparisons[self.comparisons["split"] == "train"]

    @property
    def items(self) -> np.ndarray:
        """[n, K] ids of the train comparisons."""
        return np.stack(self.train["items"].to_numpy())

    @property
    def rewards(self) -> np.ndarray:
        """[n, K] golden rewards of the same."""
        return self.golden[self.items.ravel()].to_numpy().reshape(self.items.shape)

    @property
    def raw(self) -> np.ndarray:
        """[n, K] scores as fitted."""
        return self.head.raw(self.x(self.items.ravel())).reshape(self.items.shape)

    @property
    def labels(self) -> dict:
        return self.artifact.manifest.metrics["train_labels"]

    @cached_property
    def head(self):
        return load_head(self.artifact.path / "head")

    def x(self, ids) -> np.ndarray:
        return np.stack(self.embeddings[ids].to_numpy())

    def table(self, name: str) -> pd.DataFrame:
        return self.artifact.read(name).to_pandas()


@dataclass(frozen=True)
class Lab:
    """The artifacts of the small run up to the embeddings, in a folder that may be written into."""

    out: Path

    def args(self, *overrides: str) -> tuple[str, ...]:
        return (*SMALL, f"out={self.out}", *(o for some in overrides for o in some.split()))

    @cached_property
    def golden(self) -> pd.Series:
        artifact = open_artifact(next((self.out / "annotate").glob("sentiment-*")))
        return artifact.read().to_pandas().set_index("response_id")["score"]

    @cached_property
    def embeddings(self) -> pd.Series:
        table = open_artifact(next((self.out / "embed").iterdir())).read()
        rows = matrix(table["embedding"].chunk(0))
        return pd.Series(list(rows), index=table["response_id"].to_pylist())

    def fit(self, cli, *overrides: str, arms: list[str] = ()) -> list[Fitted]:
        """One for each arm, and for each random arm that selection brings."""
        quoted = ",".join(f'"{arm}"' for arm in arms)
        result = cli("fit-rm", *self.args(*overrides), f"arms=[{quoted}]", "--json")
        assert result.code == 0, result.err
        return [
            Fitted(s["name"], open_artifact(Path(s["path"])), self.golden, self.embeddings)
            for s in result.json["stages"]
        ]


@pytest.fixture(scope="module")
def lab(small_run, tmp_path_factory) -> Lab:
    out = tmp_path_factory.mktemp("lab") / "artifacts"
    for stage in ("prompts", "sft", "sample", "annotate", "embed"):
        shutil.copytree(small_run / stage, out / stage)
    return Lab(out)


def check_sound(fitted: Fitted) -> None:
    """What holds of every fit."""
    log, metrics = fitted.table("training_log"), fitted.artifact.manifest.metrics
    assert set(log["split"]) == {"train", "validation"} and np.isfinite(log["loss"]).all()
    assert metrics["converged"] == (
        not any("did not converge" in w for w in fitted.artifact.manifest.warnings)
    )
    assert fitted.labels["n"] == len(fitted.train) == fitted.artifact.manifest.counts["train_comparisons"]
    assert fitted.table("label_variance")["count"].sum() == (~fitted.train["tie"]).sum()
    everyone = fitted.x(fitted.golden.index)
    assert np.isfinite(fitted.head.score(everyone)).all() and fitted.head.score(everyone).std() > 0


HEADS_OF = {
    "adaptive": ["linear", "directions"],
    "all_pairs": ["linear", "laplace"],
    "bradley_terry": ["linear", "mlp", "laplace", "directions", "trees"],
    "choice": ["linear", "mlp", "laplace"],
    "classification": ["linear", "mlp", "laplace", "directions", "trees"],
    "distributional": ["linear", "mlp", "directions"],
    "hinge": ["linear", "mlp", "directions"],
    "label_smoothing": ["linear", "mlp"],
    "margin": ["linear", "laplace"],
    "noise_corrected": ["linear", "mlp", "laplace"],
    "plackett_luce": ["linear", "mlp"],
    "regression": ["linear", "mlp", "laplace"],
    "robust_btl": ["linear", "mlp", "directions"],
    "soft_labels": ["linear", "directions"],
    "unpaired": ["linear", "mlp", "laplace", "trees"],
}
PAIRING_OF = {"choice": "lists", "plackett_luce": "lists", "all_pairs": "lists", "unpaired": "unpaired"}


def test_the_losses_are_all_here():
    assert sorted(HEADS_OF) == sorted(path.stem for path in (CONF / "loss").glob("*.yaml"))


@pytest.mark.parametrize("loss", HEADS_OF)
def test_every_loss_is_fitted_by_the_heads_that_can(cli, lab, loss):
    one = "head.l2=0.1" if loss == "hinge" else ""  # never flat, so each strength takes all its iterations
    arms = [f"head={h} {QUICK.get(h, one if h == 'linear' else '')}".strip() for h in HEADS_OF[loss]]
    pairing = PAIRING_OF.get(loss, "same_prompt")
    found = lab.fit(
        cli, f"loss={loss} pairing={pairing} comparisons.n=40 comparisons.n_validation=9", arms=arms
    )
    assert [f.name.split("-")[0] for f in found] == HEADS_OF[loss]
    for fitted in found:
        check_sound(fitted)
        np.testing.assert_array_equal(fitted.items, found[0].items)  # heads see the same answers
        expected = {"robust_btl": {"delta", "outlier", "margin"}, "adaptive": {"scale"}}.get(loss, set())
        assert (fitted.artifact.path / "diagnostics.parquet").is_file() == bool(expected)
        if expected:
            assert set(fitted.table("diagnostics")["diagnostic"]) == expected


PAIRINGS = {
    "same_prompt": ("pair", 2),
    "same_prompt pairing.choice=diverse": ("pair", 2),
    "cross_prompt": ("pair", 2),
    "cross_prompt pairing.choice=similar": ("pair", 2),
    "global_order": ("pair", 2),
    "lists loss=plackett_luce": ("list", 4),
    "lists loss=all_pairs pairing.k=3": ("list", 3),
    "lists loss=choice pairing.answer=choice": ("choice", 4),
    "lists loss=bradley_terry pairing.k=2": ("list", 2),
    "unpaired loss=unpaired": ("unpaired", 1),
}


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_every_pairing_with_its_labels(cli, lab, pairing):
    [fitted] = lab.fit(cli, f"pairing={pairing} comparisons.n=40")
    check_sound(fitted)
    kind, k = PAIRINGS[pairing]
    golden, train = fitted.rewards, fitted.train
    assert set(train["kind"]) == {kind} and golden.shape[1] == k
    assert len({frozenset(ids) for ids in fitted.items.tolist()}) == len(train)
    same = [len(set(p)) == 1 for p in train["prompt_ids"]]
    assert not any(same) if pairing.startswith(("cross", "global")) else all(same)
    rest = {"pair": golden[:, -1], "list": golden[:, -1], "choice": golden[:, 1:].mean(axis=1)}
    if kind == "unpaired":
        pool = lab.golden[[i for i in lab.golden.index if i in set(responses_of_train_prompts(lab, fitted))]]
        rest["unpaired"] = np.full(len(train), np.median(pool))
    np.testing.assert_allclose(train["margin"], np.abs(golden[:, 0] - rest[kind]))
    right = {
        "pair": golden[:, 0] > golden[:, -1],
        "list": (np.diff(golden, axis=1) <= 0).all(axis=1),
        "choice": golden[:, 0] == golden.max(axis=1),
        "unpaired": (train["share"] == 1) == (golden[:, 0] > rest[kind]),
    }[kind]
    np.testing.assert_array_equal(train["correct"], right)
    if kind != "list":
        assert fitted.labels["error_rate"] == pytest.approx(1 - right.mean())
    else:
        gap = np.concatenate([golden[:, i] - golden[:, j] for i in range(k) for j in range(i + 1, k)])
        assert fitted.labels["error_rate"] == pytest.approx(np.mean(gap[gap != 0] < 0))


@pytest.mark.parametrize("across", ["false", "true"])
def test_one_pair_a_prompt_and_what_annotators_were_asked(cli, lab, across):
    sets = f"pairing=response_sets pairing.choice=diverse pairing.across={across} comparisons.n=null"
    [fitted] = lab.fit(cli, sets, "head.l2=0.01")
    check_sound(fitted)
    counts, prompts = fitted.artifact.manifest.counts, np.stack(fitted.train["prompt_ids"].to_numpy())
    assert ((prompts[:, 0] != prompts[:, 1]) == (across == "true")).all()
    assert len(set(fitted.items.ravel())) == 2 * len(fitted.train)
    assert counts["train_annotated"] == 10 == counts["train_comparisons"] + counts["train_ties_dropped"]
    assert counts["validation_annotated"] == 2 >= counts["validation_comparisons"]
    assert counts["annotated"] == 12


def test_a_budget_for_all_is_spent_on_both_splits(cli, lab):
    [fitted] = lab.fit(cli, "comparisons.n=50 comparisons.budget=all validation.fraction=0.2 head.l2=0.01")
    counts = fitted.artifact.manifest.counts
    assert [counts[f"{part}annotated"] for part in ("train_", "validation_", "")] == [40, 10, 50]


def test_answers_of_a_coin_are_warned_of(cli, lab):
    coin, better = lab.fit(
        cli, "noise=largest_margin_flips head.l2=0.01", arms=["noise.rate=0.48", "noise.rate=0.4"]
    )
    [warning] = [w for w in coin.artifact.manifest.warnings if "nearly as many as by a coin" in w]
    assert f"{coin.labels['error_rate']:.1%} of the {len(coin.train)} train answers are wrong" in warning
    assert not any("coin" in w for w in better.artifact.manifest.warnings)


def responses_of_train_prompts(lab: Lab, fitted: Fitted) -> list[str]:
    """Of the prompts that were annotated for training."""
    sample = open_artifact(next((lab.out / "sample").iterdir())).read().to_pandas()
    prompts = {p for ids in fitted.train["prompt_ids"] for p in ids}
    return sample[sample["prompt_id"].isin(prompts)]["response_id"].tolist()


def drawn_ties(fitted: Fitted) -> int:
    return 60 - len(fitted.train)


def test_noise_is_what_the_manifest_says(cli, lab):
    arms = [
        "noise=none",
        "noise.error=0.25",
        "noise=random_flips noise.rate=0.3",
        "noise=largest_margin_flips noise.rate=0.2",
        "noise.keep_ties=true",
    ]
    none, logistic, random, largest, ties = found = lab.fit(cli, "seed=1", arms=arms)
    for fitted in found:
        check_sound(fitted)
        golden, tie = fitted.rewards, fitted.train["tie"].to_numpy()
        np.testing.assert_array_equal(tie, golden[:, 0] == golden[:, 1])
        wrong = (golden[:, 0] < golden[:, 1])[~tie]
        assert fitted.labels["error_rate"] == pytest.approx(wrong.mean())
        assert fitted.labels["mean_margin"] == pytest.approx(np.abs(np.diff(golden[~tie], axis=1)).mean())
        p = fitted.train["label_prob"][~tie]
        assert fitted.labels["label_variance_mean"] == pytest.approx((p * (1 - p)).mean())
    assert none.labels["error_rate"] == 0 and set(none.train["label_prob"]) == {1.0}
    right = logistic.train["label_prob"].where(logistic.train["correct"], 1 - logistic.train["label_prob"])
    assert (1 - right).mean() == pytest.approx(0.25, abs=1e-6)
    assert set(random.train["label_prob"].round(9)) == {0.3, 0.7}
    flipped = largest.train[~largest.train["correct"]]
    assert len(flipped) == round(0.2 * len(largest.train))
    assert flipped["margin"].min() >= largest.train[largest.train["correct"]]["margin"].max()
    assert len(ties.train) == 60 and ties.train["tie"].sum() == drawn_ties(none) == ties.labels["n_ties"] > 0
    assert ties.artifact.manifest.counts["train_ties_dropped"] == 0
    assert none.artifact.manifest.counts["train_ties_dropped"] == none.labels["n_ties"] == drawn_ties(none)


def test_crowds_and_their_agreement(cli, lab):
    crowd = "noise=crowd noise.errors=[0.1,0.2,0.3]"
    arms = [f"noise.merge={merge}" for merge in ("rows", "share", "majority")]
    rows, share, majority = found = lab.fit(cli, crowd, arms=arms)
    for fitted in found:
        check_sound(fitted)
        assert fitted.labels["n_answers"] == len(rows.train)
        assert 1 / 3 <= fitted.labels["pairwise_agreement"] <= 1 and -0.5 <= fitted.labels["fleiss_kappa"] < 1
        assert fitted.labels["pairwise_agreement"] == rows.labels["pairwise_agreement"]
    assert len(rows.train) == 3 * len(share.train) == 3 * len(majority.train)
    assert set(rows.train["annotator"]) == {0, 1, 2} and set(rows.train["share"]) == {1.0}
    votes = [list(rows.items[i : i + 3, 0]) for i in range(0, len(rows.train), 3)]
    alike = [len(set(v)) == 1 for v in votes]
    assert rows.labels["pairwise_agreement"] == pytest.approx(np.mean([1 if a else 1 / 3 for a in alike]))
    winner = [max(set(v), key=v.count) for v in votes]
    np.testing.assert_array_equal(share.items[:, 0], winner)
    np.testing.assert_array_equal(majority.items[:, 0], winner)
    np.testing.assert_allclose(share.train["share"], np.where(alike, 1, 2 / 3))
    assert set(majority.train["share"]) == {1.0}
    by_annotator = rows.train.groupby("annotator")["correct"].mean()
    assert rows.labels["error_rate"] == pytest.approx(1 - by_annotator.mean())
    assert majority.labels["error_rate"] < rows.labels["error_rate"]


def test_an_even_vote_is_dropped_or_kept_as_one_half(cli, lab):
    crowd = "noise=crowd noise.errors=[0.3,0.3]"
    share, majority = lab.fit(cli, crowd, arms=["noise.merge=share", "noise.merge=majority"])
    even = int(share.labels["n_even_votes"])
    assert even == (share.train["share"] == 0.5).sum() == len(share.train) - len(majority.train) > 0
    assert majority.labels["n_ties"] == share.labels["n_ties"] + even
    assert majority.artifact.manifest.counts["train_ties_dropped"] == drawn_ties(majority)


ROUNDS = "comparisons.rounds=3 comparisons.n=24 comparisons.candidates=70"


def test_selection_brings_its_random_arm(cli, lab):
    selectors = ["entropy", "max_difference", "coreset", "d_optimal", "past_aware_d_optimal"]
    found = lab.fit(cli, ROUNDS, "head.l2=0.01", arms=[f"selection={s}" for s in selectors])
    by = {f.name.partition("selection_")[2]: f for f in found}
    assert list(by) == ["entropy", "uniform", *selectors[1:]]
    answers: dict[frozenset, tuple] = {}
    for fitted in found:
        check_sound(fitted)
        offered = fitted.artifact.manifest.metrics["candidates_labels"]
        assert len(fitted.train) == 24 and offered["n"] + offered["n_dropped_ties"] == 70
        assert offered == by["uniform"].artifact.manifest.metrics["candidates_labels"]
        np.testing.assert_array_equal(fitted.items[:8], by["uniform"].items[:8])  # the first round is shared
        for pair in fitted.items.tolist():  # and so are the answers
            assert answers.setdefault(frozenset(pair), tuple(pair)) == tuple(pair)
    chosen = {name: frozenset(map(tuple, f.items.tolist())) for name, f in by.items()}
    assert len(set(chosen.values())) == len(chosen)


def test_a_selection_alone_is_judged_beside_chance(cli, lab):
    overrides = (ROUNDS, "selection=entropy head.l2=0.01")
    active, chance = lab.fit(cli, *overrides)
    assert [f.name for f in (active, chance)] == [
        "linear-bradley_terry.selection_entropy",
        "linear-bradley_terry.selection_uniform",
    ]
    result = cli("eval-rm", *lab.args(*overrides), "arms=[]", "--json")
    assert result.code == 0, result.err
    paired = open_artifact(Path(result.json["stages"][0]["path"])).read("paired").to_pandas()
    against = set(paired[paired["arm"] == active.name]["other"])
    assert chance.name in against


@pytest.mark.parametrize("combine", ["mean", "min", "lcb"])
def test_ensembles_combine_their_members(cli, lab, combine):
    how = f"ensemble.members=3 ensemble.combine={combine} ensemble.k=0.5 head.l2=0.1"
    [fitted] = lab.fit(cli, how)
    check_sound(fitted)
    head, x = fitted.head, fitted.x(fitted.golden.index)
    assert isinstance(head, EnsembleHead) and len(head.members) == 3
    members = np.column_stack([m.score(x) for m in head.members])
    assert np.abs(members[:, 0] - members[:, 1]).max() > 0.1
    by_hand = {
        "mean": members.mean(axis=1),
        "min": members.min(axis=1),
        "lcb": members.mean(axis=1) - 0.5 * members.std(axis=1),
    }[combine]
    score = head.score(x)
    assert np.corrcoef(score, by_hand)[0, 1] == pytest.approx(1)
    np.testing.assert_allclose(score - score[0], head.gain * (by_hand - by_hand[0]), atol=1e-9)
    assert len([k for k in fitted.artifact.manifest.metrics["chosen"] if k.endswith(".l2")]) == 3


def test_one_member_has_nothing_to_combine_and_says_so(cli, lab):
    one, plain = lab.fit(cli, "head.l2=0.1", arms=["ensemble.combine=lcb", "ensemble.members=1"])
    [warning] = one.artifact.manifest.warnings
    assert "ensemble.combine=lcb changes nothing with one member; set ensemble.members" in warning
    np.testing.assert_array_equal(one.head.weight, plain.head.weight)
    assert plain.artifact.manifest.warnings == []


def test_centring_pulls_the_sums_of_scores_to_zero(cli, lab):
    how = "pairing=cross_prompt noise=none head.l2=0.01"
    free, weak, strong = lab.fit(cli, how, arms=["seed=0", "centring=0.01", "centring=1"])
    level = [np.square(f.raw.sum(axis=1)).mean() for f in (free, weak, strong)]
    assert level[0] > level[1] > level[2]
    right = [np.mean(f.raw[:, 0] > f.raw[:, 1]) for f in (free, weak, strong)]
    assert right[1] >= right[0] - 0.1  # the order of the pairs stays


def test_outliers_are_of_the_comparisons_that_bear_their_numbers(cli, lab):
    how = "loss=robust_btl loss.lam=0.6 noise=largest_margin_flips noise.rate=0.15 head.l2=0.01"
    [fitted] = lab.fit(cli, how)
    rows = fitted.table("diagnostics").pivot(index="comparison", columns="diagnostic", values="value")
    np.testing.assert_array_equal(rows.index, fitted.train["comparison"])
    margin = fitted.raw[:, 0] - fitted.raw[:, 1]
    np.testing.assert_allclose(rows["margin"], margin, atol=1e-6)
    threshold = np.log(1 / 0.6 - 1)
    np.testing.assert_allclose(rows["delta"], np.maximum(threshold - margin, 0), atol=1e-6)
    outlier, wrong = (margin < threshold), fitted.rewards[:, 0] < fitted.rewards[:, 1]
    np.testing.assert_array_equal(rows["outlier"] == 1, outlier)
    flagged = fitted.artifact.manifest.metrics["flagged"]
    assert flagged["n"] == outlier.sum() > 0
    assert flagged["precision"] == pytest.approx((outlier & wrong).sum() / outlier.sum())
    assert flagged["recall"] == pytest.approx((outlier & wrong).sum() / wrong.sum())
    assert flagged["recall"] > outlier.mean()  # better than chance


def test_where_nothing_is_wrong_or_flagged_there_is_no_share(cli, lab):
    """0 of 0 is no number, and the manifest is JSON all the same."""
    [fitted] = lab.fit(cli, "loss=robust_btl loss.lam=1 noise=none")
    assert fitted.artifact.manifest.metrics["flagged"] == {"n": 0, "precision": None, "recall": None}


def test_the_adaptive_scale_grows_with_the_margin(cli, lab):
    [fitted] = lab.fit(cli, "loss=adaptive noise=none")
    rows = fitted.table("diagnostics")
    assert set(rows["diagnostic"]) == {"scale"} and list(rows["comparison"]) == list(
        fitted.train["comparison"]
    )
    margin = np.abs(fitted.raw[:, 0] - fitted.raw[:, 1])
    np.testing.assert_allclose(rows["value"], np.clip(margin / 0.943, 0.1, 4.0), rtol=1e-3)


def test_a_loaded_head_scores_as_the_evaluation_did(cli, lab):
    arms = [
        "head=linear",
        "head=linear ensemble.members=2 ensemble.combine=min",
        f"head=mlp {QUICK['mlp']}",
        "head=laplace head.k=1",
        "head=directions",
        f"head=trees loss=classification {QUICK['trees']}",
        f"head=trees loss=unpaired pairing=unpaired {QUICK['trees']}",
        "loss=plackett_luce pairing=lists",
    ]
    found = lab.fit(cli, "comparisons.n=40", arms=arms)
    quoted = ",".join(f'"{arm}"' for arm in arms)
    result = cli("eval-rm", *lab.args("comparisons.n=40"), f"arms=[{quoted}]", "--json")
    assert result.code == 0, result.err
    artifact = open_artifact(Path(result.json["stages"][0]["path"]))
    scores = artifact.read("head_scores").to_pandas()
    for fitted in found:
        mine = scores[scores["arm"] == fitted.name]
        assert set(mine["split"]) == {"validation", "test"}
        tolerance = 1e-4 if "mlp" in fitted.name else 1e-9  # float32 in blocks
        score = fitted.head.score(fitted.x(mine["response_id"]))
        np.testing.assert_allclose(mine["score"], score, rtol=tolerance, atol=tolerance)
        np.testing.assert_array_equal(mine["golden"], fitted.golden[mine["response_id"]])
    metrics = artifact.read("metrics").to_pandas()
    heads = metrics[(metrics["kind"] == "head") & (metrics["split"] == "test")]
    assert set(heads["arm"]) == {f.name for f in found}
    assert heads[heads["metric"] == "best_of_n"]["value"].notna().all()


def test_rewards_are_normalised_on_the_train_responses(cli, lab):
    [fitted] = lab.fit(cli, "head.l2=0.1")
    sample = open_artifact(next((lab.out / "sample").iterdir())).read().to_pandas()
    held = {p for ids in fitted.comparisons.query("split == 'validation'")["prompt_ids"] for p in ids}
    train = sample[(sample["split"] == "train") & ~sample["prompt_id"].isin(held)]
    score = fitted.head.score(fitted.x(train["response_id"]))
    assert score.mean() == pytest.approx(0, abs=1e-9) and score.std() == pytest.approx(1)


def test_the_same_settings_give_the_same_bits(cli, lab):
    how = ("ensemble.members=2", "head=mlp", QUICK["mlp"], "selection=d_optimal", ROUNDS)
    first = lab.fit(cli, *how)[0]
    before = (
        first.artifact.path.joinpath("comparisons.parquet").read_bytes(),
        first.head.score(first.x(first.golden.index)),
    )
    again = lab.fit(cli, *how, "--force")[0]
    assert again.artifact.path.joinpath("comparisons.parquet").read_bytes() == before[0]
    np.testing.assert_array_equal(again.head.score(again.x(again.golden.index)), before[1])
