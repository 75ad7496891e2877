"""Responses that a golden reward fails on, from annotate to the evaluation: as if never sampled."""

import json
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from rmlab.errors import ConfigError, InputError, RmlabError
from rmlab.logs.progress import Progress
from rmlab.pipeline.job import Job
from rmlab.pipeline.plan import load_arms, plan
from rmlab.pipeline.run import run_nodes
from rmlab.responses.table import read_responses
from rmlab.stages import eval_rm, fit_rm
from rmlab.storage.artifact import Artifact, open_artifact
from rmlab.storage.files import write_parquet
from rmlab.storage.manifest import FileRecord
from rmlab.storage.writer import Writer
from rmlab.sweeps.data import read_data, write_data

MODULE = """
import zlib
def fails(text): return zlib.crc32(text.encode()) % 5 == 0
def reward(prompts, responses):
    return [1 / 0 if fails(r) else float(sum(map(ord, r)) % 101) for r in responses]
def hopeless(prompts, responses): raise OSError("no such service")
"""
RUN = (
    "experiment=smoke", "sampler=file", "prompts.duplicates=merge", "embedder.dimension=16", "comparisons.n=40", "comparisons.n_validation=10",
    "evaluation.resamples=20", "arms=['head=linear loss=bradley_terry']", "allow_modules=[failing_rewards]",
    "golden.callable.path=failing_rewards.reward",
)  # fmt: skip


def texts():
    rng = np.random.default_rng(0)
    rows = []
    for p in range(18):
        for k in range(6):
            words = rng.choice(["red", "blue", "old", "sun", "rain", "tree", "walk"], 3 + k)
            text = " ".join([*words, str(p), str(k)])
            rows.append(
                {"prompt": f"Question {p}?", "split": "test" if p % 3 == 0 else "train", "response": text}
            )
    return rows


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(artifacts, overrides, how many responses fail) of an experiment."""
    folder = tmp_path_factory.mktemp("failed")
    (folder / "failing_rewards.py").write_text(MODULE)
    sys.path.insert(0, str(folder))
    import failing_rewards

    n_failed = sum(failing_rewards.fails(r["response"]) for r in texts())
    assert 8 < n_failed < 40
    (folder / "r.jsonl").write_text("".join(json.dumps(r) + "\n" for r in texts()))
    out, file = folder / "out", folder / "r.jsonl"
    overrides = [
        *RUN, "golden=[callable,length,weighted]", "golden.weighted.weights={callable: 1, length: 0.1}",
        "label_golden=callable", f"prompts.path={file}", f"sampler.path={file}", f"out={out}",
    ]  # fmt: skip
    run_nodes(plan(load_arms(overrides)), "test", quiet=True)
    yield out, overrides, n_failed
    sys.path.remove(str(folder))
    sys.modules.pop("failing_rewards", None)


def only(out, stage, name=""):
    [folder] = (out / stage).glob(f"{name}*")
    return open_artifact(folder)


def test_failures_are_rows_counts_and_one_warning(run):
    out, _, n_failed = run
    annotate = only(out, "annotate", "callable")
    table = annotate.read().to_pandas()
    assert (table["score"].isna() == table["failure"].notna()).all() and table[
        "score"
    ].isna().sum() == n_failed
    assert set(table["failure"].dropna()) == {"ZeroDivisionError: division by zero"}
    assert annotate.manifest.counts == {"responses": 108, "failed_rows": n_failed}
    warning, of_code = annotate.manifest.warnings
    assert "its code (1 file)" in of_code
    assert f"failed on {n_failed} of 108 responses" in warning and "division by zero" in warning
    length = only(out, "annotate", "length").manifest
    assert length.warnings == [] and length.counts["failed_rows"] == 0


@pytest.fixture(scope="module")
def absent(run, tmp_path_factory):
    """The inputs of heads, without the rows of the failed responses."""
    out = run[0]
    scores = only(out, "annotate", "callable").read()
    good = scores.filter(pc.is_null(scores["failure"]))["response_id"]
    found = {"prompts": only(out, "prompts")}
    for stage, name in (("sample", ""), ("annotate", "callable"), ("embed", "")):
        whole = only(out, stage, name)
        table = whole.read()
        table = table.filter(pc.is_in(table["response_id"], good.combine_chunks()))
        path = tmp_path_factory.mktemp(stage)
        write_parquet(path / "part-00000.parquet", table)
        files = [FileRecord("part-00000.parquet", 0, "", table.num_rows)]
        found[stage] = Artifact(path, replace(whole.manifest, files=files, rows=table.num_rows))
    return found


def make(stage, settings, inputs, path, like):
    """The artifact that a stage makes of these inputs; like: the manifest of the one it is compared with."""
    path.mkdir()
    writer = Writer(path)
    stage.run(Job("a", "f", settings, {}, inputs, writer, Progress("", quiet=True)))
    written = {"counts": writer.counts, "metrics": writer.metrics, "warnings": writer.warnings}
    writer.commit(lambda files: replace(like, files=files, **written))
    return open_artifact(path)


def test_heads_are_fitted_and_judged_as_if_the_failed_were_never_sampled(run, absent, tmp_path):
    out, overrides, n_failed = run
    settings = load_arms(overrides)["head=linear loss=bradley_terry"]
    of_fit, of_eval = (only(out, stage).manifest for stage in ("fit_rm", "eval_rm"))
    fit = make(fit_rm, settings, absent, tmp_path / "fit", of_fit)
    inputs = absent | {f"fit_rm:{of_fit.name}": fit, f"embed:{of_fit.name}": absent["embed"]}
    evaluated = make(eval_rm, settings, inputs, tmp_path / "eval", of_eval)
    for stage, again, tables in (("fit_rm", fit, ["comparisons", "training_log"]),
                                 ("eval_rm", evaluated, ["head_scores", "metrics", "curves", "paired"])):  # fmt: skip
        first = only(out, stage)
        for name in tables:
            frames = [x.read(name).to_pandas() for x in (first, again)]
            assert len(frames[0])
            pd.testing.assert_frame_equal(*frames, rtol=1e-9, atol=1e-12)
        assert sum("failed on are left out" in w for w in first.manifest.warnings) == 1
        assert "failed_rows_left_out" not in again.manifest.counts
        assert not any("left out" in w for w in again.manifest.warnings)
    left = [only(out, stage).manifest.counts["failed_rows_left_out"] for stage in ("fit_rm", "eval_rm")]
    assert 0 < left[0] < left[1] == n_failed


def test_cells_of_a_sweep_read_what_they_would_without_the_failed(run, absent, tmp_path):
    out = run[0]
    whole = {role: only(out, role, "callable" if role == "annotate" else "") for role in absent}
    roles = {
        name: {f"{role}:x": a for role, a in inputs.items()}
        for name, inputs in (("all", whole), ("good", absent))
    }
    found = {}
    for name, inputs in roles.items():
        (tmp_path / name).mkdir()
        found[name] = read_data(write_data(inputs, "x", tmp_path / name))
    a, b = found["all"], found["good"]
    assert a.responses.prompt_ids.tolist() == b.responses.prompt_ids.tolist()
    for column in ("golden", "group", "is_test"):
        np.testing.assert_array_equal(getattr(a.responses, column), getattr(b.responses, column))
    rows = np.arange(len(a.responses))
    np.testing.assert_array_equal(a.vectors.rows(rows), b.vectors.rows(rows))
    np.testing.assert_array_equal(a.lengths, b.lengths)


def test_rewards_that_failed_on_different_rows_do_not_share_mapped_vectors(run, tmp_path):
    out = run[0]
    common = {f"{role}:{d}": only(out, role) for role in ("prompts", "sample", "embed") for d in "xy"}
    scores = {"annotate:x": only(out, "annotate", "callable"), "annotate:y": only(out, "annotate", "length")}
    sizes = {}
    for d in "xy":
        data = read_data(write_data(common | scores, d, tmp_path))
        sizes[d] = len(data.responses)
        known = only(out, "embed").read().to_pandas().set_index("response_id")["embedding"]
        ids = read_responses(common["sample:x"], scores[f"annotate:{d}"], ["train", "test"]).ids
        np.testing.assert_array_equal(
            data.vectors.rows(np.arange(len(ids))), np.stack(known[ids.tolist()].to_numpy())
        )
    assert sizes["x"] < sizes["y"] == 108


def test_a_split_without_any_score_is_one_line(run, tmp_path):
    sample, annotate = only(run[0], "sample"), only(run[0], "annotate", "callable")
    split = sample.read().to_pandas().set_index("response_id")["split"]
    table = annotate.read()
    is_test = (split[table["response_id"].to_pylist()] == "test").to_numpy()
    scores = pa.array(np.where(is_test, np.nan, 1.0))
    write_parquet(tmp_path / "part-00000.parquet", table.set_column(3, table.schema.field("score"), scores))
    files = [FileRecord("part-00000.parquet", 0, "", len(scores))]
    failed = Artifact(tmp_path, replace(annotate.manifest, files=files))
    with pytest.raises(InputError, match="failed on every response of the test prompts; its column failure"):
        read_responses(sample, failed, ["train", "test"])


def test_a_weighted_sum_is_that_of_the_saved_scores(run):
    out, _, n_failed = run
    parts = {
        n: only(out, "annotate", n).read().to_pandas().set_index("response_id")
        for n in ("callable", "length")
    }
    weighted = only(out, "annotate", "weighted")
    table = weighted.read().to_pandas().set_index("response_id")
    split = only(out, "sample").read().to_pandas().set_index("response_id")["split"]
    good = parts["callable"]["score"].notna()
    expected = 0.0
    for name, weight in (("callable", 1.0), ("length", 0.1)):
        score = parts[name]["score"]
        train = score[good & (split[score.index] == "train")]
        expected = expected + weight * (score - train.mean()) / train.std(ddof=0)
    np.testing.assert_allclose(table["score"], expected[table.index], rtol=1e-9)
    assert set(table["failure"].dropna()) == {"callable: ZeroDivisionError: division by zero"}
    assert weighted.manifest.counts["failed_rows"] == n_failed and set(
        weighted.manifest.metrics["parts"]
    ) == set(parts)


def test_it_labels_and_nothing_is_scored_twice(run):
    _, overrides, _ = run
    nodes = plan(load_arms([*overrides, "label_golden=weighted"]))
    states = {(o.node.stage, o.node.name): o.state for o in run_nodes(nodes, "test", quiet=True)}
    assert {s for (stage, _), s in states.items() if stage in ("sample", "annotate", "embed")} == {"already"}
    assert states[("eval_rm", "smoke")] == "done"


def test_a_reward_that_fails_on_everything_is_one_line_and_not_done(run, tmp_path):
    overrides = [o for o in run[1] if not o.startswith(("out=", "golden.callable.path"))]
    nodes = plan(load_arms([*overrides, f"out={tmp_path}", "golden.callable.path=failing_rewards.hopeless"]))
    with pytest.raises(
        RmlabError, match=r"golden reward callable failed on \d+ responses, all of a shard .*no such"
    ) as e:
        run_nodes(nodes, "test", quiet=True)
    assert "\n" not in str(e.value) and not list((tmp_path / "annotate").glob("callable*/manifest.json"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["golden.weighted.weights={tone: 1}"], "golden.weighted is made of tone, which is not one of"),
        (["golden.weighted.weights={weighted: 1}"], "in a circle: weighted of weighted"),
        (["~allow_modules", "+allow_modules=[]"], "allow it with 'allow_modules=\\[failing_rewards\\]'"),
        (["golden.callable.path=reward"], "'reward' is not a dotted path"),
    ],
)
def test_a_plan_that_cannot_be_is_one_line(run, changes, message):
    overrides = run[1]
    if changes[0].startswith("~"):
        overrides, changes = [o for o in overrides if not o.startswith("allow_modules")], []
    with pytest.raises(ConfigError, match=message) as error:
        plan(load_arms([*overrides, *changes]))
    assert "\n" not in str(error.value)


def test_the_function_s_file_is_part_of_the_fingerprint(run):
    overrides = run[1]
    file = sys.modules["failing_rewards"].__file__

    def prints():
        return {n.name: n.fingerprint for n in plan(load_arms(overrides)) if n.stage == "annotate"}

    before = prints()
    with open(file, "a") as more:  # noqa: PTH123
        more.write("# changed\n")
    after = prints()
    assert [n for n in before if before[n] != after[n]] == ["callable", "weighted"]
