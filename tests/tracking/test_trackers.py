"""Trackers are told of a run, keep it local unless told otherwise, change no fingerprint and stop no run.

The packages are stand-ins here.
"""

from __future__ import annotations

import json
import shutil
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest
from small_settings import SMALL

from rmlab.config.hydra import load_settings
from rmlab.errors import ConfigError
from rmlab.pipeline.plan import load_arms, plan
from rmlab.pipeline.track import shown_settings, tracker_of


class Calls(list):
    """Records each call of a function by its name, and answers with itself."""

    def __getattr__(self, name):
        def call(*args, **kwargs):
            print("noise on standard output")
            self.append((name, args, kwargs))
            return self

        return call

    def of(self, name):
        return [(args, kwargs) for each, args, kwargs in self if each == name]


def put(monkeypatch, name, **members):
    module = ModuleType(name)
    module.__dict__.update(members)
    module.__spec__ = ModuleSpec(name, None)  # other packages look for it
    monkeypatch.setitem(sys.modules, name, module)
    return module


@pytest.fixture
def wandb(monkeypatch):
    calls, summary = Calls(), Calls()
    calls.summary = summary
    put(monkeypatch, "wandb", init=calls.init, Settings=lambda **given: given)
    return calls


@pytest.fixture
def mlflow(monkeypatch):
    calls = Calls()
    calls.info = SimpleNamespace(run_id="r1")
    calls.experiment_id = "e1"
    put(monkeypatch, "mlflow", MlflowClient=calls.client)
    put(monkeypatch, "mlflow.entities", Param=lambda key, value: (key, value))
    return calls


@pytest.fixture
def trackio(monkeypatch):
    calls = Calls()
    put(monkeypatch, "trackio", init=calls.init, log=calls.log, finish=calls.finish)
    return calls


@pytest.fixture
def run(cli, small_run, tmp_path):
    out = shutil.copytree(small_run, tmp_path / "artifacts")
    return lambda *more: cli("run", *SMALL, f"out={out}", *more, "--json")


def test_wandb_is_offline_and_has_metrics_settings_and_report(run, wandb):
    done = run("track=wandb")
    assert done.code == 0 and done.json["report"]  # what the tracker printed is not among the results
    (_, how), *others = wandb.of("init")
    assert not others and how["mode"] == "offline" and how["config"]["comparisons.n"] == 60
    assert "/track/wandb" in how["dir"] and how["config"]["out"] == "artifacts"
    (metrics,), _ = wandb.summary.of("update")[0]
    assert metrics["test/linear-bradley_terry/accuracy"] == pytest.approx(
        metrics["test/linear-bradley_terry/accuracy/low"], abs=1
    )
    assert any(name.startswith("fit_rm/") for name in metrics)
    assert wandb.of("save")[0][0][0].endswith("report.html")
    assert wandb.of("finish") == [((), {"exit_code": 0})]


def test_wandb_sends_only_if_told(run, wandb):
    assert run("track=wandb", "track.online=true").code == 0
    assert wandb.of("init")[0][1]["mode"] == "online"
    assert "track.online=true" in run("track=wandb", "track.entity=me").line


def test_mlflow_keeps_a_local_database_whatever_the_environment_says(run, mlflow, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://somewhere.example")
    assert run("track=mlflow").code == 0
    ((_, given),) = mlflow.of("client")
    assert (
        given["tracking_uri"].startswith("sqlite:////") and "artifacts/track/mlflow" in given["tracking_uri"]
    )
    params = dict(pair for _, how in mlflow.of("log_batch") for pair in how["params"])
    assert params["comparisons.n"] == "60"
    names = {args[1] for args, _ in mlflow.of("log_metric")}
    assert "test/linear-bradley_terry/spearman" in names
    assert mlflow.of("set_terminated")[0][0] == ("r1", "FINISHED")


def test_trackio_stays_here_and_the_report_is_kept_beside(run, trackio, tmp_path, monkeypatch):
    assert run("track=trackio").code == 0
    assert trackio.of("init")[0][1]["space_id"] is None and trackio.of("finish")
    assert list((tmp_path / "artifacts" / "track" / "trackio").rglob("report.html"))
    monkeypatch.setenv("TRACKIO_SPACE_ID", "me/space")
    assert "unset it" in run("track=trackio").line


@pytest.mark.parametrize("at", ["init", "save", "update", "finish"])
def test_a_tracker_that_fails_is_one_warning_and_the_run_goes_on(run, wandb, monkeypatch, at):
    monkeypatch.setenv("WANDB_API_KEY", "s3cret-of-this-test")

    def fails(*_, **__):
        raise RuntimeError("no answer with s3cret-of-this-test")

    holder = sys.modules["wandb"] if at == "init" else wandb.summary if at == "update" else wandb
    monkeypatch.setattr(holder, at, fails, raising=False)
    done = run("track=wandb")
    assert done.code == 0 and done.err.count("warning: track=wandb failed") == 1
    assert "s3cret" not in done.err and "Traceback" not in done.err


def test_a_run_that_fails_is_told_as_failed(cli, wandb, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "rmlab.commands.run.run_nodes", lambda *_, **__: (_ for _ in ()).throw(ConfigError("no"))
    )
    assert cli("run", *SMALL, f"out={tmp_path / 'a'}", "track=wandb").code == 2
    assert wandb.of("finish") == [((), {"exit_code": 1})]


def test_a_missing_package_is_told_before_anything_runs(cli, tmp_path, monkeypatch):
    monkeypatch.setattr("rmlab.config.optional_packages.is_installed", lambda package: package != "wandb")
    done = cli("run", *SMALL, f"out={tmp_path / 'a'}", "track=wandb")
    assert done.code == 3 and "track=wandb needs wandb; run: pip install" in done.line
    assert not (tmp_path / "a" / "sample").exists()


def test_no_fingerprint_changes(tmp_path, wandb):
    with_it, without = (
        [n.fingerprint for n in plan(load_arms([*SMALL, f"track={name}"]))] for name in ("wandb", "none")
    )
    assert with_it == without


def test_nothing_is_tracked_by_default():
    assert tracker_of(load_settings([*SMALL])) is None


def test_settings_are_shown_without_secrets_and_folders(monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "abcdefgh12345")
    settings = load_settings(
        [*SMALL, "input=/home/someone/secret/pairs.jsonl", "release.description='x abcdefgh12345'"]
    )
    shown = json.dumps(shown_settings(settings))
    assert "someone" not in shown and "abcdefgh12345" not in shown and '"pairs.jsonl"' in shown


@pytest.mark.parametrize("wrong", ["track.uri=nowhere", "track.project=[1]", "track.speed=3"])
def test_wrong_settings_are_one_line(cli, mlflow, tmp_path, wrong):
    assert cli("run", *SMALL, f"out={tmp_path}", "track=mlflow", wrong).code == 2
