"""An evaluation of prompts with unlike numbers of responses, some of them without a golden score."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pandas as pd
import pytest

from rmlab.errors import InputError
from rmlab.heads.fitted.load import load_head
from rmlab.pipeline.plan import load_arms, plan
from rmlab.pipeline.run import run_nodes
from rmlab.storage.artifact import Artifact, open_artifact

MODULE = """
import re
def reward(prompts, responses):
    return [float("nan") if "broken" in r else len(set(r)) // 2 for r in responses]
def of_train_prompts(prompts, responses):
    return [float("nan") if int(re.search("Q ([0-9]+)", str(p))[1]) % 3 == 0 else len(r) for p, r in zip(prompts, responses)]
"""
RUN = (
    "experiment=smoke", "sampler=file", "prompts.duplicates=merge", "embedder=hashing",
    "embedder.dimension=32", "comparisons.n=200", "comparisons.n_validation=40", "evaluation.resamples=50",
    "evaluation.scoring=quick", "arms=['head=linear loss=bradley_terry','head=mlp loss=classification']",
    "allow_modules=[ragged_rewards]", "golden=callable", "golden.callable.path=ragged_rewards.reward",
)  # fmt: skip
TABLES = ("metrics", "curves", "paired", "calibration", "head_scores")


def rows():
    """30 prompts, of 5 to 7 responses each; ties; no score of four prompts, nor of some other responses."""
    rng = np.random.default_rng(0)
    for p in range(30):
        for k in range(5 + p % 3):
            words = rng.choice(["red", "blue", "old", "sun", "rain", "tree", "walk"], 2 + k)
            broken = p // 4 == 2 or (p % 7 == 1 and k == 2)
            text = " ".join([*words, str(k), "broken" * broken])
            split = "test" if p % 3 == 0 else "train"
            yield {"prompt": f"Q {p}?", "split": split, "group": f"{split} {p % 11}", "response": text}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ragged")
    (folder / "ragged_rewards.py").write_text(MODULE)
    (folder / "r.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows()))
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    sys.modules.pop("ragged_rewards", None)


def run(folder, name: str, *more: str) -> dict[str, Artifact]:
    """The artifacts of a run, by stage and name."""
    file = folder / "r.jsonl"
    overrides = [*RUN, f"prompts.path={file}", f"sampler.path={file}", f"out={folder / name}", *more]
    outcomes = run_nodes(plan(load_arms(overrides)), "test", quiet=True)
    return {f"{o.node.stage}/{o.node.name}": open_artifact(o.artifact.path) for o in outcomes}


def of_stage(made: dict[str, Artifact], stage: str) -> Artifact:
    [found] = [artifact for name, artifact in made.items() if name.partition("/")[0] == stage]
    return found


@pytest.fixture(scope="module")
def made(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rmlab.evaluation.measure.MAX_PAIRS", 40)
        return {n: run(folder, f"out{n}", f"prompts_per_shard={n}") for n in (4, 100)}


@pytest.mark.parametrize("table", TABLES)
def test_how_responses_lie_in_parts_changes_no_table(made, table):
    many, one = (of_stage(made[n], "eval_rm").read(table).to_pandas() for n in (4, 100))
    pd.testing.assert_frame_equal(many, one, check_exact=True)


def test_responses_without_a_score_are_counted_and_warned_of(made):
    judged = of_stage(made[4], "eval_rm")
    scores = of_stage(made[4], "annotate").read().to_pandas()["score"]
    assert judged.manifest.counts["failed_rows_left_out"] == scores.isna().sum() > 20
    test = judged.read("head_scores").to_pandas().query("split == 'test' and arm == 'oracle'")
    sizes = test.groupby("prompt_id").size()
    assert sizes.min() < sizes.max()
    said = f"test prompts have {sizes.min()} to {sizes.max()} responses; best-of-N ends at {sizes.min()}"
    assert said in judged.manifest.warnings
    counts = judged.read("calibration").to_pandas().groupby(["arm", "split"])["count"].sum()
    assert len(counts) == 4 and (counts == 40).all()


def test_scores_are_those_of_the_saved_heads_and_of_the_golden_reward(made):
    embedded = of_stage(made[4], "embed").read().to_pandas().set_index("response_id")["embedding"]
    golden = of_stage(made[4], "annotate").read().to_pandas().set_index("response_id")["score"].dropna()
    every = of_stage(made[4], "eval_rm").read("head_scores").to_pandas()
    assert list(every["split"].unique()) == ["validation", "test"]
    assert every.drop_duplicates(["split", "arm"])["arm"].tolist() == 2 * [
        *("linear-bradley_terry", "mlp-classification"),
        *("golden_regression", "random", "oracle", "length", "copying"),
    ]
    assert (every["golden"].to_numpy() == golden[every["response_id"]].to_numpy()).all()
    for arm in ("linear-bradley_terry", "mlp-classification"):
        found = every[every["arm"] == arm]
        head = load_head(made[4][f"fit_rm/{arm}"].path)  # the artifact, in place of its folder head/
        expected = head.score(np.stack(embedded[found["response_id"]].to_numpy()))
        np.testing.assert_allclose(found["score"], expected, rtol=1e-5, atol=1e-6)


def test_no_score_on_any_test_prompt_is_one_line(made, folder):
    shutil.copytree(
        folder / "out4", folder / "o", ignore=shutil.ignore_patterns("eval_rm", "report", "fit_rm")
    )
    with pytest.raises(InputError, match="failed on every response of the test prompts; its column failure"):
        run(folder, "o", "prompts_per_shard=4", "golden.callable.path=ragged_rewards.of_train_prompts")
