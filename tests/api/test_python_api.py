"""The Python interface: docs/python.md as printed, its names, its results, and its errors in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from printed_pages import run_page
from small_settings import SMALL
from sweep_helpers import Inline

import rmlab
from rmlab.logs.progress import Progress
from rmlab.storage.manifest import read_manifest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def done(small_run):
    """The session's small run, as a result of `rmlab.run`: nothing of it is left to do."""
    return rmlab.run(*SMALL, f"out={small_run}", progress=False)


def test_the_page_runs_as_printed(cli, tmp_path, monkeypatch, capfd):
    Inline(monkeypatch)  # no worker processes, whose start takes longer than the cells
    monkeypatch.chdir(tmp_path)
    names = run_page("python.md", cli)
    assert {o.state for o in names["plan"].outcomes} == {"planned"}
    made = names["made"]
    assert {o.state for o in made.outcomes} == {"done"}
    assert made.report.is_file() and {"head", "control"} <= set(made.evaluation["kind"])
    assert len(names["responses"]) == made.artifact("sample").manifest.rows
    assert isinstance(names["pairs"], pa.Table) and names["metrics"].columns == ["arm", "metric", "value"]
    results = names["swept"].results
    assert len(results[results["kind"] == "head"]) == 4 and set(results["state"]) == {"ok"}
    assert len(names["swept"].means("loss")) == 2
    talk = [[{"role": "user", "content": "How are you?"}]]
    answer = [[{"role": "assistant", "content": "I am well, thank you."}]]
    texts = ["How are you?"], ["I am well, thank you."]
    expected = names["model"].score(*texts).tolist()
    assert names["reward"](talk, answer) == names["reward"](*texts, completion_ids=[[1]]) == expected
    order = names["order"]
    assert rmlab.metrics.spearman(order).mean() > 0.7
    best = rmlab.metrics.best_of_n(order, [1, 6]).mean(axis=0)
    assert best[1] > best[0] + 1
    assert capfd.readouterr().out.splitlines()[-1].startswith("unknown setting 'sede'")


def test_the_import_loads_nothing_and_all_names_are_there():
    code = (
        "import sys; before = set(sys.modules); import rmlab\n"
        "new = {m for m in set(sys.modules) - before if m.partition('.')[0] != 'rmlab'}\n"
        "assert not new and 'rmlab.api' not in sys.modules, new\n"
        "from rmlab import *\n"
        "for package in rmlab._PACKAGES:\n"
        "    module = getattr(rmlab, package)\n"
        "    assert set(module.__all__) == set(dir(module)) and all(getattr(module, n) for n in dir(module))\n"
        "assert set(dir(rmlab)) == set(rmlab.__all__) and run is rmlab.run\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    for module in (rmlab, rmlab.losses):
        with pytest.raises(AttributeError, match="no attribute 'none_such'"):
            module.none_such  # noqa: B018


@pytest.mark.parametrize("package", rmlab._PACKAGES)
def test_every_component_of_the_settings_is_a_name_of_its_package(package):
    group = {"heads": "head", "losses": "loss"}.get(package, package)
    files = sorted((ROOT / "conf" / group).glob("*.yaml")) if group != "metrics" else []
    targets = [yaml.safe_load(file.read_text(encoding="utf-8")).get("_target_") for file in files]
    own = [target for target in targets if target and target.startswith(f"rmlab.{package}.")]
    assert own or package == "metrics"
    for target in own:
        name = target.rpartition(".")[2]
        assert getattr(rmlab, package).__all__.count(name) == 1
        assert getattr(getattr(rmlab, package), name).__module__ == target.rpartition(".")[0]


def test_no_public_name_is_also_a_module():
    for package in rmlab._PACKAGES:
        modules = {path.stem for path in (ROOT / "rmlab" / package).iterdir()}
        assert not modules & set(getattr(rmlab, package).__all__)
    top = {path.stem for path in (ROOT / "rmlab").iterdir()}
    assert top & set(rmlab.__all__) == set(rmlab._PACKAGES)


def test_a_result_leads_to_what_was_made(done, small_run):
    assert {o.state for o in done.outcomes} == {"already"}
    assert set(done.artifacts) == set(done.paths)
    for name, artifact in done.artifacts.items():
        assert done.artifact(name).path == artifact.path == done.paths[name]
        assert artifact.path.parent == small_run / name.partition("/")[0]
    assert done.artifact("eval-rm").path == done.artifact("eval_rm").path
    chosen = done.artifact("eval_rm").manifest.metrics["chosen"]
    assert Path(done.reward_model().place) == done.paths[f"fit_rm/{chosen}"]
    other = next(n for n in done.paths if n.startswith("fit_rm/") and n != f"fit_rm/{chosen}")
    assert Path(done.reward_model(other.partition("/")[2]).place) == done.paths[other]
    assert repr(done) == f"RunResult(smoke: {len(done.outcomes)} already)"
    shown = done._repr_html_()
    assert all(f"<td>{o.node.name}</td>" in shown for o in done.outcomes)
    assert done.report.is_file() and str(done.report) in shown


def test_a_run_is_recorded_as_the_command_that_does_the_same(tmp_path):
    few = ("experiment=smoke", "prompts.n_train=4", "prompts.n_test=2", "sft=none", f"out={tmp_path}/a")
    made = rmlab.run(*few, stage="sample", progress=False)
    assert [o.node.stage for o in made.outcomes] == ["prompts", "sample"]
    assert read_manifest(made.paths["prompts/openings"]).command == f"rmlab sample {' '.join(few)}"
    (log,) = (tmp_path / "a" / "logs").iterdir()
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert (events[0]["event"], events[-1]["event"], events[-1]["code"]) == ("start", "end", 0)
    assert made.report is None
    with pytest.raises(rmlab.InputError, match="this run has no artifact eval_rm"):
        made.evaluation  # noqa: B018


@pytest.mark.parametrize("to", ["pandas", "arrow", "polars"])
def test_tables_are_read_alike_by_each_library(done, to):
    artifact = done.artifact("sample")
    found = rmlab.read(artifact, to=to, columns=["response_id", "n_tokens"])
    whole = artifact.read()
    tokens = found["n_tokens"].to_pylist() if to == "arrow" else found["n_tokens"].to_list()
    assert tokens == whole["n_tokens"].to_pylist()
    assert (found.column_names if to == "arrow" else list(found.columns)) == ["response_id", "n_tokens"]
    assert rmlab.read(str(artifact.path), "responses", "arrow") == whole


def test_polars_that_is_not_installed(done, monkeypatch):
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(rmlab.ConfigError, match="needs the package polars, which is not installed"):
        rmlab.read(done.artifact("sample"), to="polars")


def test_means_of_a_sweep_are_those_of_its_rows(out, monkeypatch):
    Inline(monkeypatch)
    swept = rmlab.sweep(
        *SMALL, f"out={out}", "head.l2=0.1,1", "seed=0,1", "head=linear", workers=1, progress=False
    )
    rows = swept.results[swept.results["kind"] == "head"]
    expected = rows.groupby("head.l2")["test_best_of_n"].mean()
    found = swept.means().set_index("head.l2")["test_best_of_n"]
    pd.testing.assert_series_equal(found.sort_index(), expected.sort_index())
    assert set(swept.means("seed")["cells"]) == {2} and swept.n_failed == 0
    assert "<td>" in swept._repr_html_() and "4 cells" in repr(swept)
    with pytest.raises(rmlab.InputError, match="loss is no axis of this sweep; give some of head.l2, seed"):
        swept.means("loss")


def test_means_by_an_axis_are_on_equal_terms_as_the_page_has_them(out, monkeypatch):
    """Trees cannot fit the hinge loss, so of the losses only what linear heads have at both counts."""
    Inline(monkeypatch)
    grid = ("head=linear,trees", "loss=classification,hinge", "seed=0,1")
    swept = rmlab.sweep(*SMALL, f"out={out}", *grid, workers=1, progress=False)
    assert swept.n_failed == 2
    [page] = (out / "sweep_report").glob("*/sweep_means.parquet")
    shown = pd.read_parquet(page).query("by == 'loss' and metric == 'validation_best_of_n'")
    expected = {json.loads(row.place)["loss"]: (row.value, row.n_cells) for row in shown.itertuples()}
    found = swept.means("loss")
    assert {r.loss: (pytest.approx(r.validation_best_of_n), r.cells) for r in found.itertuples()} == expected
    assert set(found["cells"]) == {2} and set(swept.means()["cells"]) == {2} and len(swept.means()) == 3
    assert swept.means("head", "loss", "head").equals(swept.means())
    hinge = swept.results.query("loss == 'hinge'")
    monkeypatch.setattr(type(swept), "results", hinge)
    with pytest.raises(rmlab.InputError, match=r"at every value of head; means\(\) has all"):
        swept.means("head")
    assert list(swept.means("head", "loss")["head"]) == ["linear"]


def test_several_things_that_are_wrong_are_one_error_with_a_line_each(tmp_path):
    with pytest.raises(rmlab.ConfigError) as error:
        rmlab.run(
            *SMALL, "arms=[]", f"out={tmp_path / 'a'}", "head=trees", "loss=hinge", "comparisons.n=99999"
        )
    lines = error.value.lines
    assert len(lines) == 2 and "add loss=classification" in lines[0] and "99999" in lines[1]
    assert not (tmp_path / "a").exists()


BAD = [
    (lambda made: rmlab.run(1), "an override must be text"),
    (lambda made: rmlab.settings(["seed=1"]), "got list; give each as an argument"),
    (lambda made: rmlab.run("seed"), "'seed' is not an override"),
    (lambda made: rmlab.run("head=linear,mlp"), "has several values"),
    (lambda made: rmlab.run("seed=1", config_dir=3), "config_dir must be a path"),
    (lambda made: rmlab.run("seed=1", config_dir="none-such"), "is not a folder"),
    (lambda made: rmlab.run("seed=1", stage="fit"), "there is no stage fit; give one of sft, sample"),
    (lambda made: rmlab.run("experiment=smoke", "sft=none", stage="sft"), "nothing to do"),
    (lambda made: rmlab.sweep("experiment=smoke"), "nothing to sweep"),
    (lambda made: rmlab.sweep("experiment=smoke", "seed=0,1", workers=-1), "workers must be a number from 0"),
    (lambda made: rmlab.sweep("experiment=smoke", "seed=0,1", "out=none"), "first `rmlab run"),
    (lambda made: rmlab.read("none-such"), "not an artifact: no such folder"),
    (lambda made: rmlab.read(3), "artifact must be a folder or an artifact of a run, got int"),
    (lambda made: rmlab.read(made.artifact("eval_rm")), "has several tables; name one of calibration"),
    (
        lambda made: rmlab.read(made.artifact("sample"), "scores"),
        "has no table scores; name one of responses",
    ),
    (lambda made: rmlab.read(made.artifact("sample"), columns=["x"]), "has no column x; it has prompt_id"),
    (lambda made: rmlab.read(made.artifact("sample"), columns="text"), "columns must be a list"),
    (lambda made: rmlab.read(made.artifact("sample"), to="excel"), "to must be pandas, arrow or polars"),
    (lambda made: rmlab.read(made.artifact("report")), "holds no table"),
    (lambda made: made.artifact("fit_rm"), "this run has 2 artifacts of fit_rm; name one of fit_rm/linear"),
    (lambda made: made.reward_model("none"), "no artifact fit_rm/none"),
]


@pytest.mark.parametrize(("call", "words"), BAD)
def test_errors_are_one_line(done, call, words):
    with pytest.raises(rmlab.RmlabError) as caught:
        call(done)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_failure_within_a_stage_reaches_the_caller_and_the_log(tmp_path, monkeypatch):
    def broken(job):
        raise ZeroDivisionError("by hand")

    monkeypatch.setattr("rmlab.stages.prompts.run", broken)
    with pytest.raises(ZeroDivisionError, match="by hand"):
        rmlab.run("experiment=smoke", "sft=none", f"out={tmp_path}", stage="sample", progress=False)
    (log,) = (tmp_path / "logs").iterdir()
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [e["message"] for e in events if e["event"] == "failure"] == ["by hand"]
    assert events[-1]["code"] == 1


def test_a_notebook_shows_a_bar_that_is_updated_in_place(monkeypatch, capsys):
    shown: list[dict] = []
    handle = SimpleNamespace(update=lambda data, raw: shown.append(data))

    def display(data, raw, display_id):
        assert raw and display_id
        shown.append(data)
        return handle

    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    with Progress("fit <b>", "rows") as progress:
        progress.start(30)
        for _ in range(30):
            progress.advance(1)
    assert shown[0]["text/plain"] == "fit <b>: 0 of 30" and 'value="0"' in shown[0]["text/html"]
    assert shown[-1]["text/plain"].startswith("fit <b>: 30 of 30, ") and "<b>" not in shown[-1]["text/html"]
    assert len(shown) < 30 and "rows" not in capsys.readouterr().err
    with Progress("quiet", "rows", quiet=True) as progress:
        progress.start(3)
    assert shown[-1]["text/plain"].startswith("fit")


def test_settings_are_those_that_a_run_uses(done):
    assert rmlab.settings(*SMALL, f"out={done.settings.out}") == done.settings
    assert np.isclose(rmlab.settings("noise.error=0.25").noise["error"], 0.25)
