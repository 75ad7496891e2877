import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pandas as pd
import polars as pl
import pytest
from small_settings import SMALL
from sweep_helpers import node_of

from rmlab.sweeps.estimate import START
from rmlab.sweeps.rows import RowLog
from rmlab.sweeps.together import run_cell


def files(folder: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*")}


def half_a_second(cell, folder):
    """Runs a trial cell, and says that half of half a second was the fit."""
    return {**run_cell(cell, folder), "fit_seconds": 0.25, "seconds": 0.5}


def test_dry_run_counts_and_estimates_and_writes_nothing(cli, out, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("rmlab.sweeps.together.run_cell", half_a_second)
    monkeypatch.setattr("rmlab.sweeps.estimate.time", SimpleNamespace(perf_counter=lambda: 0.0))
    before = files(out)
    grid = ("head=linear,directions", "noise.error=0.1,0.2", "seed=range(0,50)")
    result = cli("sweep", *SMALL, f"out={out}", *grid, "--dry-run", "--workers", 1)
    first, second = result.out.splitlines()
    assert (
        result.code == 0
        and first == "200 cells over head (2), noise.error (2), seed (50); 1 worker of one thread each"
    )
    assert second == "200 cells to run: about 105 seconds"
    assert files(out) == before and [p.name for p in tmp_path.iterdir()] == ["artifacts"]
    more = cli(
        "sweep",
        *SMALL,
        f"out={out}",
        *grid,
        "centring=0,0.1",
        "--dry-run",
        "--json",
        "--workers",
        1,
    )
    estimate = more.json["estimate"]
    assert estimate["cells"] == more.json["cells"] == 400
    assert estimate["seconds"] == pytest.approx(START + 400 * 0.5)
    assert estimate["failing"] == {}


def test_the_estimate_names_what_will_fail(cli, out):
    grid = (
        "head=choice(trees)",
        "loss=classification,hinge",
        "seed=0,1,2",
    )  # of which the first can be fitted
    result = cli("sweep", *SMALL, f"out={out}", *grid, "--dry-run")
    assert result.out.splitlines()[2] == (
        "3 cells like one that was tried will fail: head=trees fits loss=classification and "
        "loss=bradley_terry only; add loss=classification or loss=bradley_terry"
    )


def test_a_sweep_without_its_inputs_names_the_command_that_makes_them(cli, out):
    grid = ("embedder.dimension=32,64", "seed=0,1")
    result = cli("sweep", *SMALL, f"out={out}", *grid)
    assert (
        result.code == 3 and "the embed stage is not done: first `rmlab run experiment=smoke" in result.line
    )
    command = shlex.split(result.line.split("`")[1])
    assert command[2:] == [*SMALL, f"out={out}", "embedder.dimension=32"]
    planned = cli("sweep", *SMALL, f"out={out}", *grid, "--dry-run")
    assert planned.code == 3 and "4 cells to run; no estimate of time: " in planned.out
    assert planned.line == result.line
    assert cli("sweep", *SMALL, f"out={out.parent / 'none'}", "seed=0,1").code == 3
    assert not (out.parent / "none").exists()


def test_one_json_document_on_stdout_and_a_table_without_control_characters(cli, out, inline):
    grid = ("noise.error=0.1,0.2", "seed=0,1")
    made = cli("sweep", *SMALL, f"out={out}", *grid, "--json")
    assert made.code == 0 and made.json["sweep"]["counts"]["cells"] == 4
    assert made.json["axes"] == {"noise.error": ["0.1", "0.2"], "seed": ["0", "1"]}
    shown = cli("sweep", *SMALL, f"out={out}", *grid)
    assert shown.code == 0 and len(inline.axes) == 4
    assert "noise.error  cells" in shown.out and "controls, test best of n: random " in shown.out
    assert str(Path(made.json["results"])) in shown.out
    assert not [c for c in made.out + made.err + shown.out + shown.err if ord(c) < 32 and c != "\n"]


def test_a_sweep_of_which_no_cell_can_be_fitted_is_refused(cli, out, inline):
    """The same with --dry-run, without a trial."""
    grid = ("head=choice(trees)", "loss=hinge,margin", "seed=0,1")
    for more in ([], ["--dry-run"]):
        result = cli("sweep", *SMALL, f"out={out}", *grid, *more)
        assert result.code == 2 and "head=trees fits loss=classification and" in result.line
    assert inline.axes == [] and not (out / "sweep").exists()


def test_failures_are_rows_and_the_exit_code_is_4(cli, out, inline):
    """They are told of before the first cell is run."""
    grid = ("head=linear,trees", "loss=choice(hinge)")
    result = cli("sweep", *SMALL, f"out={out}", *grid)
    assert result.code == 4
    assert result.err.startswith("1 of 2 cells will fail: head=trees fits loss=classification and")
    assert "failed: 1 cell: head=trees fits loss=classification and" in result.out
    again = cli("sweep", *SMALL, f"out={out}", *grid, "--json")
    assert again.code == 4 and again.json["sweep"]["counts"]["failed"] == 1
    assert [a["head"] for a in inline.axes] == ["linear", "trees", "trees"]  # what failed is tried again


def test_results_load_anywhere_with_the_axes_as_columns(cli, out, inline):
    grid = ("head.l2=[0.1],[1.0]", "noise.error=0.1,0.2")
    path = cli("sweep", *SMALL, f"out={out}", *grid, "--json").json["results"]
    frames = [pd.read_parquet(path), pl.read_parquet(path).to_pandas(), duckdb.read_parquet(path).df()]
    for frame in frames:
        rows = frame[frame["kind"] == "head"]
        assert list(rows["head.l2"]) == ["[0.1]"] * 2 + ["[1.0]"] * 2
        assert list(rows["noise.error"]) == [0.1, 0.2] * 2
        assert rows["test_best_of_n"].notna().all() and len(frame) == 4 + 5
        assert json.loads(rows["settings"].iloc[0])["head"]["l2"] == [0.1]
    assert cli("inspect", Path(path).parent).code == 0
    assert cli("status", *SMALL, f"out={out}").code == 0


def test_a_grid_that_is_wrong_is_one_line(cli, out):
    for grid, message in [
        (["seed=range(0,0)"], "seed=range(0,0) has no values"),
        ([], "nothing to sweep: give a setting several values, such as seed=0,1,2"),
        (["seed=0,1", "bogus.key=1,2"], "unknown setting 'bogus.key'"),
    ]:
        result = cli("sweep", *SMALL, f"out={out}", *grid)
        assert result.code == 2 and message in result.line


@pytest.mark.alone
def test_ctrl_c_leaves_no_process_keeps_the_rows_and_the_sweep_goes_on(out):
    grid = ("seed=range(0,400)",)
    command = [sys.executable, "-m", "rmlab", "sweep", *SMALL, f"out={out}", *grid, "--workers", "2"]
    with subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        _wait(lambda: len(_rows(out)) >= 3 or process.poll() is not None)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert [x for x in err.splitlines() if not x.startswith("sweep: ")] == [
        "rmlab: interrupted; what is done is kept, run the same command to go on"
    ]
    _wait(lambda: not _group(process.pid))
    kept = _rows(out)
    grid_again = node_of(out, *grid).sweep_grid
    assert 3 <= len(kept) < 400 and len(grid_again.left) == 400 - len(kept)


def _rows(out: Path) -> dict:
    found = list((out / "sweep").glob("*"))
    return RowLog.of(found[0]).done() if found else {}


def _group(leader: int) -> list[int]:
    """Live processes of a process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = stat.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(group) == leader and state not in "ZX":
            found.append(int(stat.parent.name))
    return found


def _wait(ready, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until
        time.sleep(0.05)
