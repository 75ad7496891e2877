"""An evaluation in cuts of whole prompts is that of all responses at once."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmlab.errors import InputError
from rmlab.evaluation import cuts
from rmlab.evaluation.cuts import Cuts
from rmlab.evaluation.survey import Survey
from rmlab.pipeline.plan import load_arms, plan
from rmlab.pipeline.run import run_nodes
from rmlab.responses.texts import Exchanges
from rmlab.storage.artifact import Artifact, open_artifact
from rmlab.storage.manifest import FileRecord

MODULE = """
import re
def reward(prompts, responses):
    return [float("nan") if "broken" in r else len(set(r)) // 2 for r in responses]
def of_train_prompts(prompts, responses):
    return [float("nan") if int(re.search("Q ([0-9]+)", str(p))[1]) % 3 == 0 else len(r) for p, r in zip(prompts, responses)]
"""
RUN = (
    "experiment=smoke", "sampler=file", "prompts.duplicates=merge", "prompts_per_shard=4", "embedder=hashing",
    "embedder.dimension=32", "comparisons.n=200", "comparisons.n_validation=40", "evaluation.resamples=50",
    "evaluation.scoring=quick", "arms=['head=linear loss=bradley_terry','head=mlp loss=classification']",
    "allow_modules=[cut_rewards]", "golden=callable", "golden.callable.path=cut_rewards.reward",
)  # fmt: skip
KEYS = ["arm", "other", "kind", "split", "metric", "n", "bin", "prompt_id", "response_id"]


def rows():
    """30 prompts in eight shards; unlike numbers of responses, ties, and no score in the whole third shard."""
    rng = np.random.default_rng(0)
    for p in range(30):
        for k in range(5 + p % 3):
            words = rng.choice(["red", "blue", "old", "sun", "rain", "tree", "walk"], 2 + k)
            broken = p // 4 == 2 or (p % 7 == 1 and k == 2)
            text = " ".join([*words, str(k), "broken" * broken])
            split = "test" if p % 3 == 0 else "train"
            # of two prompts of a group, one lies in another shard
            yield {"prompt": f"Q {p}?", "split": split, "group": f"{split} {p % 11}", "response": text}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(artifacts, overrides) of an experiment that was evaluated in one."""
    folder = tmp_path_factory.mktemp("cuts")
    (folder / "cut_rewards.py").write_text(MODULE)
    (folder / "r.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows()))
    sys.path.insert(0, str(folder))
    overrides = [*RUN, f"prompts.path={folder / 'r.jsonl'}", f"sampler.path={folder / 'r.jsonl'}"]
    with pytest.MonkeyPatch.context() as patch:
        few_pairs(patch)
        run_nodes(plan(load_arms([*overrides, f"out={folder / 'out'}"])), "test", quiet=True)
    yield folder / "out", overrides
    sys.path.remove(str(folder))
    sys.modules.pop("cut_rewards", None)


def few_pairs(patch):
    patch.setattr("rmlab.evaluation.gathering.MAX_PAIRS", 40)


def only(out: Path, stage: str) -> Artifact:
    [folder] = (out / stage).iterdir()
    return open_artifact(folder)


def inputs(out: Path) -> tuple[Artifact, Artifact, dict[str, Artifact]]:
    return only(out, "sample"), only(out, "annotate"), {"e": only(out, "embed")}


@pytest.mark.parametrize("at_most", [1, 30, 60])
def test_cuts_change_no_table(whole, tmp_path, monkeypatch, at_most):
    out, overrides = whole
    few_pairs(monkeypatch)
    monkeypatch.setattr(cuts, "AT_MOST", at_most)
    assert len(Cuts(*inputs(out)).all) == {1: 8, 30: 7, 60: 4}[at_most]
    shutil.copytree(out, tmp_path / "o", ignore=shutil.ignore_patterns("eval_rm", "report"))
    nodes = plan(load_arms([*overrides, f"out={tmp_path / 'o'}"]))
    run_nodes([node for node in nodes if node.stage != "report"], "test", quiet=True)
    one, other = only(out, "eval_rm"), only(tmp_path / "o", "eval_rm")
    for table in ("metrics", "curves", "paired", "calibration", "head_scores"):
        a, b = (artifact.read(table).to_pandas() for artifact in (one, other))
        keys = [key for key in KEYS if key in a]
        a, b = (frame.sort_values(keys, ignore_index=True) for frame in (a, b))
        # scores are float32 and differ in the last bits; an interval over four prompts enlarges that
        pd.testing.assert_frame_equal(a, b, rtol=1e-6, atol=5e-6)
    assert one.read("calibration").to_pandas().groupby(["arm", "split"])["count"].sum().eq(40).all()
    assert one.manifest.warnings == other.manifest.warnings and one.manifest.counts == other.manifest.counts
    assert one.manifest.metrics["chosen"] == other.manifest.metrics["chosen"]
    assert one.manifest.counts["failed_rows_left_out"] > 20


def test_every_prompt_is_in_one_cut_with_all_that_was_made_of_it(whole, monkeypatch):
    monkeypatch.setattr(cuts, "AT_MOST", 40)
    sample, annotate, embed = inputs(whole[0])
    prompts: list[str] = []
    found = Cuts(sample, annotate, embed)
    for cut in found.all:
        responses = found.responses(cut)
        assert cut.sample.part_rows == cut.annotate.part_rows == cut.embed["e"].part_rows
        assert sum(cut.sample.part_rows) <= 40 and len(cut.sample.part_rows) == len(cut.parts)
        ids = cut.embed["e"].read(columns=["response_id"])["response_id"].to_pylist()
        assert set(responses.ids[:]) <= set(ids) and len(responses) + responses.n_failed == len(ids)
        prompts += responses.distinct_prompts
    table = sample.read(columns=["prompt_id", "response_id"]).to_pandas().set_index("response_id")
    scored = annotate.read().to_pandas().dropna(subset="score")["response_id"]
    assert len(prompts) == len(set(prompts)) and set(prompts) == set(table.loc[scored, "prompt_id"])


def recut(artifact: Artifact, folder: Path, sizes: list[int], change=lambda table: table) -> Artifact:
    """The same rows in parts of these sizes."""
    table, first, files = change(artifact.read()), 0, []
    folder.mkdir()
    for k, n in enumerate(sizes):
        path = folder / f"part-{k:05d}.parquet"
        pq.write_table(table.slice(first, n), path, write_page_checksum=True)
        files.append(FileRecord(path.name, path.stat().st_size, "", n))
        first += n
    assert first == table.num_rows
    return Artifact(folder, replace(artifact.manifest, files=files))


def test_parts_that_do_not_go_together_are_one_cut(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(cuts, "AT_MOST", 10)
    sample, annotate, embed = inputs(whole[0])
    sizes = sample.part_rows
    moved = [sizes[0] - 1, sizes[1] + 1, *sizes[2:]]
    assert len(Cuts(sample, annotate, embed).all) > 1
    assert len(Cuts(sample, recut(annotate, tmp_path / "a", moved), embed).all) == 1
    assert len(Cuts(sample, annotate, {"e": recut(embed["e"], tmp_path / "e", moved)}).all) == 1
    # a prompt of the first part has a response in the last
    torn = [recut(x, tmp_path / f"t{k}", moved) for k, x in enumerate((sample, annotate, embed["e"]))]
    assert len(Cuts(torn[0], torn[1], {"e": torn[2]}).all) == 1


def test_the_survey_is_what_the_responses_say(whole, monkeypatch):
    monkeypatch.setattr(cuts, "AT_MOST", 40)
    out, _ = whole
    found = Cuts(*inputs(out))
    survey = Survey.of(found, Exchanges(only(out, "prompts"), only(out, "sample")), lambda rows: None)
    frame = pd.concat(
        pd.DataFrame({"prompt": r.prompt_ids[:], "golden": r.golden, "test": r.is_test})
        for r in map(found.responses, found.all)
    )
    of = frame.groupby("prompt")["golden"]
    in_order = survey.in_order(np.ones(len(survey.rank), dtype=bool))
    np.testing.assert_array_equal(survey.size[in_order], of.size())
    np.testing.assert_allclose(survey.mean[in_order], of.mean())
    np.testing.assert_array_equal(survey.is_test[in_order], frame.groupby("prompt")["test"].first())
    untied = [sum(x[i] != x[j] for i in range(len(x)) for j in range(i)) for x in of.apply(list)]
    np.testing.assert_array_equal(survey.untied[in_order], untied)
    mean, deviation = survey.golden(in_order)
    assert (mean, deviation) == pytest.approx((frame["golden"].mean(), frame["golden"].std(ddof=0)))
    assert survey.n_responses(~survey.is_test).sum() == (~frame["test"]).sum()
    by_cut = [int((r.is_test).sum()) for r in map(found.responses, found.all)]
    assert survey.n_responses(survey.is_test).tolist() == by_cut and 0 in by_cut


def test_quick_forms_are_tried_on_responses_of_many_cuts(whole, tmp_path, monkeypatch):
    out, overrides = whole
    for name, value in {"cuts.AT_MOST": 30, "eval_heads.WORTH_TRYING": 50, "eval_heads.SAMPLE": 96}.items():
        monkeypatch.setattr(f"rmlab.stages.{name}", value)
    samples = []
    monkeypatch.setattr("rmlab.evaluation.eval_heads.quickened", lambda head, x: samples.append(x) or head)
    shutil.copytree(out, tmp_path / "o", ignore=shutil.ignore_patterns("eval_rm", "report"))
    nodes = plan(load_arms([*overrides, f"out={tmp_path / 'o'}"]))
    run_nodes([node for node in nodes if node.stage != "report"], "test", quiet=True)
    assert len(samples) == 2 and all(np.array_equal(x, samples[0]) for x in samples)
    known = only(out, "embed").read().to_pandas()
    known["part"] = np.repeat(np.arange(8), only(out, "sample").part_rows)
    judged = known[
        known["response_id"].isin(only(out, "eval_rm").read("head_scores")["response_id"].to_pylist())
    ]
    part = [
        [p for p, y in zip(judged["part"], judged["embedding"]) if np.array_equal(x, y)] for x in samples[0]
    ]
    assert 12 <= len(part) <= 96 and all(part), "all are of responses that are judged"
    assert len({p[0] for p in part}) >= 5


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.integers(1, 120))
def test_parts_are_cut_in_order_and_to_size(rows, most):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuts, "AT_MOST", most)
        found = cuts._ranges(rows)
    assert [k for parts in found for k in parts] == list(range(len(rows)))
    for parts in found:
        assert sum(rows[k] for k in parts) <= most or sum(rows[k] > 0 for k in parts) == 1
    for one, following in itertools.pairwise(found):
        assert sum(rows[k] for k in one) + rows[following[0]] > most


def test_no_score_on_any_test_prompt_is_one_line(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(cuts, "AT_MOST", 40)
    out, overrides = whole
    shutil.copytree(out, tmp_path / "o", ignore=shutil.ignore_patterns("eval_rm", "report", "fit_rm"))
    changed = [*overrides, "golden.callable.path=cut_rewards.of_train_prompts", f"out={tmp_path / 'o'}"]
    with pytest.raises(InputError, match="failed on every response of the test prompts; its column failure"):
        run_nodes(plan(load_arms(changed)), "test", quiet=True)
