"""Several layers and poolings out of one pass over the texts: the vectors of separate runs, at the cost of one."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from small_settings import SMALL
from transformers import LlamaModel

from rmlab.config.hydra import load_settings
from rmlab.errors import ConfigError
from rmlab.logs.progress import Progress
from rmlab.models.compute import Compute
from rmlab.pipeline.plan import plan
from rmlab.pipeline.run import run_nodes
from rmlab.storage.writer import Writer

VIEWS = [{"layer": layer, "pooling": pooling} for layer in (1, -1) for pooling in ("mean", "last")]
PARTS = 5
FEW = [*SMALL, "sft=none", "prompts_per_shard=4"]


@pytest.fixture(scope="module")
def settings(tiny_model):
    """Composed once: Hydra takes longer than all that is tried here."""
    return load_settings(
        [*FEW, "embedder=transformers", f"embedder.model={tiny_model}", "embedder.batch_tokens=400"]
    )


@pytest.fixture(scope="module")
def sampled(settings, tmp_path_factory):
    """Artifacts up to the responses, in several parts."""
    out = tmp_path_factory.mktemp("one_pass") / "artifacts"
    nodes = planned(settings, out, [{}])
    run_nodes([n for n in nodes if n.stage in ("prompts", "sample")], "test", quiet=True)
    return out


@pytest.fixture
def out(sampled, tmp_path):
    return shutil.copytree(sampled, tmp_path / "artifacts")


def planned(settings, out, views):
    """The nodes of one arm a view, a change of the embedder's parameters."""
    base = settings.model_copy(update={"out": str(out)})
    arms = [base.model_copy(update={"embedder": {**base.embedder, **view}}) for view in views]
    return plan({"": base} | {f"embedder.view={k}": arm for k, arm in enumerate(arms)})


def embed(settings, out, views=VIEWS, force=False):
    nodes = [n for n in planned(settings, out, views) if n.stage == "embed"]
    return run_nodes(nodes, "test", force, quiet=True, alone=True)


def vectors(outcome):
    column = outcome.artifact.read(columns=["embedding"])["embedding"].combine_chunks()
    return column.flatten().to_numpy().reshape(len(column), -1)


@pytest.fixture
def calls(monkeypatch):
    """How often the model was loaded, how often it ran, and the rows that progress was told of."""
    count = {"loads": 0, "forwards": 0, "rows": 0}

    def counted(cls, method, name, n=lambda *args: 1):
        original = getattr(cls, method)

        def call(self, *args, **more):
            count[name] += n(*args)
            return original(self, *args, **more)

        monkeypatch.setattr(cls, method, call)

    counted(Compute, "load_model", "loads")
    counted(LlamaModel, "forward", "forwards")
    counted(Progress, "advance", "rows", lambda rows=0, tokens=0: rows)
    return count


def test_one_pass_gives_what_separate_runs_give_at_the_cost_of_one(settings, out, tmp_path, calls):
    apart = shutil.copytree(out, tmp_path / "apart")
    singles = [embed(settings, apart, [view])[0] for view in VIEWS]
    alone = {name: n / len(VIEWS) for name, n in calls.items()}
    calls.update(loads=0, forwards=0, rows=0)
    found = embed(settings, out)
    assert calls == alone and calls["loads"] == 1 and calls["rows"] == 96
    for one, single in zip(found, singles, strict=True):
        assert one.node.folder.name == single.node.folder.name  # the same fingerprint
        assert np.array_equal(vectors(one), vectors(single))
        a, b = one.artifact.manifest, single.artifact.manifest
        assert (a.counts, a.metrics, a.config, a.rows) == (b.counts, b.metrics, b.config, b.rows)
        assert len(one.artifact.parts) == PARTS
    different = [vectors(one) for one in found]
    assert not any(np.allclose(different[0], x) for x in different[1:])


def test_storage_is_each_one_s_own(settings, out):
    wide, narrow = map(vectors, embed(settings, out, [{"storage": "float32"}, {"storage": "float16"}]))
    assert wide.dtype == np.float32 and np.array_equal(narrow, wide.astype(np.float16))


def test_other_embedders_run_by_themselves(settings, out, calls):
    """Two layers that go together, though another that reads less of each text stands between them."""
    found = embed(settings, out, [{"layer": 1}, {"max_tokens": 20}, {"layer": 2}])
    assert calls["loads"] == 2 and calls["rows"] == 2 * 96
    assert [o.node.config["embedder"]["layer"] for o in found] == [1, -1, 2]
    assert all(o.state == "done" for o in found)


def test_what_is_done_already_is_not_done_again(settings, out, calls):
    embed(settings, out, VIEWS[1:2])
    assert [o.state for o in embed(settings, out)] == ["done", "already", "done", "done"] and calls[
        "loads"
    ] == 2
    assert [o.state for o in embed(settings, out)] == ["already"] * 4 and calls["loads"] == 2
    assert [o.state for o in embed(settings, out, force=True)] == ["done"] * 4 and calls["loads"] == 3


@pytest.mark.parametrize("written", [1, 6, 9])
def test_an_interrupted_pass_goes_on_where_each_of_its_artifacts_stands(
    settings, out, tmp_path, monkeypatch, written
):
    whole = embed(settings, shutil.copytree(out, tmp_path / "whole"))
    with monkeypatch.context() as patch:
        part, n = Writer.part, iter(range(100))

        def break_off(writer, *args, **more):
            if next(n) == written:
                raise KeyboardInterrupt
            part(writer, *args, **more)

        patch.setattr(Writer, "part", break_off)
        with pytest.raises(KeyboardInterrupt):
            embed(settings, out)
    assert not list((out / "embed").glob("*/manifest.json"))
    before = {p: p.stat().st_mtime_ns for p in (out / "embed").glob("*/part-*")}
    assert len(before) == written
    found = embed(settings, out)
    assert all(p.stat().st_mtime_ns == at for p, at in before.items())
    for one, other in zip(found, whole, strict=True):
        assert np.allclose(vectors(one), vectors(other), atol=1e-6)
        assert one.artifact.manifest.counts == other.artifact.manifest.counts
        assert one.artifact.manifest.metrics == other.artifact.manifest.metrics


def test_a_layer_that_is_not_there_is_one_line_and_nothing_is_written(settings, out):
    with pytest.raises(ConfigError, match="embedder.layer=9: .* has layers 0 to 2"):
        embed(settings, out, [{"layer": 1}, {"layer": 9}])
    assert not list((out / "embed").glob("*/part-*"))


def test_the_command_embeds_for_all_arms_in_one_pass(cli, out, tiny_model):
    arms = "arms=['embedder.layer=1','embedder.layer=2 embedder.pooling=last']"
    args = (*FEW, "embedder=transformers", f"embedder.model={tiny_model}", arms, f"out={out}")
    result = cli("embed", *args, "--json")
    assert result.code == 0, result.err
    assert [s["rows"] for s in result.json["stages"]] == [96, 96]
    assert "embed: starts, 2 artifacts in one pass" in result.err
    assert result.err.count("embed: done in") == 1
