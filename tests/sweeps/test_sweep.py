import json
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_settings import SMALL
from sweep_helpers import TIMES, copied, heads, node_of, swept

from rmlab.config.grid import points
from rmlab.config.settings import Settings
from rmlab.errors import ConfigError
from rmlab.storage.artifact import open_artifact
from rmlab.storage.sweep_schema import sweep_table
from rmlab.sweeps.data import read_data, write_data
from rmlab.sweeps.plan import plan_sweep
from rmlab.sweeps.rows import RowLog
from rmlab.sweeps.together import run_cell

GRID = ("head=linear,trees", "loss=hinge,bradley_terry,classification", "seed=0,1")


@pytest.fixture(scope="module")
def table(small_run, tmp_path_factory) -> pd.DataFrame:
    """A grid in two worker processes; trees cannot fit one of the losses."""
    return swept(copied(small_run, tmp_path_factory.mktemp("sweep") / "artifacts"), *GRID, workers=2)


def test_a_row_a_cell_in_the_order_of_the_grid_with_its_whole_configuration(table):
    rows = heads(table)
    assert list(rows["head"]) == ["linear"] * 6 + ["trees"] * 6 and list(rows["seed"]) == [0, 1] * 6
    assert rows["cell"].is_unique
    for point, settings in zip(points([*SMALL, *GRID]), rows["settings"], strict=True):
        found = Settings.model_validate(json.loads(settings))
        assert found.model_copy(update={"out": point.settings.out}) == point.settings


def test_a_cell_that_cannot_be_is_a_row_with_its_reason(table):
    failed = table[table["state"] == "failed"]
    assert {tuple(x) for x in failed[["head", "loss"]].to_numpy()} == {("trees", "hinge")}
    assert set(failed["reason"]) == {
        "head=trees fits loss=classification and loss=bradley_terry only; "
        "add loss=classification or loss=bradley_terry"
    }
    assert failed["test_best_of_n"].isna().all() and (table["state"] == "ok").sum() == 10 + 5


@pytest.mark.parametrize(
    ("arm", "head", "loss"),
    [
        ("linear-bradley_terry", "linear", "bradley_terry"),
        ("trees-classification", "trees", "classification"),
    ],
)
def test_the_numbers_are_those_of_fit_rm_and_eval_rm(small_run, table, arm, head, loss):
    row = table[(table["head"] == head) & (table["loss"] == loss) & (table["seed"] == 0)].iloc[0]
    metrics = open_artifact(next((small_run / "eval_rm").iterdir())).read("metrics").to_pandas()
    n_compared = 0
    for m in metrics[metrics["arm"] == arm].itertuples():
        if m.metric.startswith(("style_controlled", "conformal")):
            continue  # of eval_rm alone
        ends = ("_low", "_high") if f"{m.split}_{m.metric}_low" in row else ()
        expected = [m.value, m.low, m.high][: 1 + len(ends)]
        got = [row[f"{m.split}_{m.metric}{end}"] for end in ("", *ends)]
        np.testing.assert_allclose(
            np.array(got, float), expected, rtol=1e-5, equal_nan=True, err_msg=m.metric
        )  # one thread here and several there round differently
        n_compared += 1
    assert n_compared >= 2 * 14 + 2  # six of scores and eight of probabilities, and two of validation answers
    labels = open_artifact(next((small_run / "fit_rm").glob(f"{arm}-*"))).manifest.metrics
    assert row["error_rate"] == labels["train_labels"]["error_rate"]
    assert row["mean_margin"] == labels["train_labels"]["mean_margin"]
    assert row["n_comparisons"] == labels["train_labels"]["n"]
    train, held = (labels[f"{split}_labels"] for split in ("train", "validation"))
    assert row["n_annotated"] == train["n_annotated"] == 60 and row["n_annotated_validation"] == 15
    assert row["n_annotated_all"] == 75 and row["n_validation"] == held["n"] == 15 - held["n_ties"]
    chosen = json.loads(row["chosen"])
    for name in ("l2", "n_estimators"):
        assert chosen.get(name) == labels["chosen"].get(name)
    assert row["converged"] == labels["converged"]


def test_controls_are_those_of_eval_rm(small_run, table):
    metrics = open_artifact(next((small_run / "eval_rm").iterdir())).read("metrics").to_pandas()
    controls = table[table["kind"] != "head"].set_index("kind")
    assert set(controls.index) == {"random", "oracle", "length", "copying", "golden_regression"}
    test = metrics[(metrics["kind"] == "control") & (metrics["split"] == "test")]
    for m in test[test["metric"].isin(["best_of_n", "spearman", "accuracy"])].itertuples():
        np.testing.assert_allclose(
            float(controls.loc[m.arm, f"test_{m.metric}"]), m.value, rtol=1e-9, equal_nan=True
        )


def test_one_worker_gives_the_rows_of_two(out, table):
    again = swept(out, "head=linear,trees", "loss=bradley_terry,classification", workers=1)
    columns = again.columns.drop([*TIMES, "settings"])  # settings name the folder
    known = table[table["cell"].isin(again["cell"])].reset_index(drop=True)
    assert len(known) == 4 + 5
    pd.testing.assert_frame_equal(again[columns], known[columns], check_exact=True)


def test_equal_cells_count_once(out):
    grid = node_of(
        out, "head.l2=[1],[1.0]", "seed=0,0,1", "evaluation.select_by=accuracy,spearman"
    ).sweep_grid
    assert len(grid.cells) == 2


def test_an_interrupted_sweep_goes_on_at_the_cell(out, inline, small_run, tmp_path):
    inline.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        swept(out, "seed=0,1,2,3")
    node = node_of(out, "seed=0,1,2,3")
    assert not node.is_done and len(node.sweep_grid.left) == 2
    log = RowLog.of(node.folder)
    with log.file.open("ab") as file:
        file.write('{"cell": "torn in the midst of ü'.encode()[:-1])
    kept = {cell: row["seconds"] for cell, row in log.done().items()}
    inline.stop_after = None
    found = heads(swept(out, "seed=0,1,2,3"))
    assert [a["seed"] for a in inline.axes] == ["0", "1", "2", "3"]
    assert {c: s for c, s in zip(found["cell"], found["seconds"]) if c in kept} == kept and len(kept) == 2
    whole = heads(swept(copied(small_run, tmp_path / "other"), "seed=0,1,2,3"))
    drop = [*TIMES, "settings"]
    pd.testing.assert_frame_equal(found.drop(columns=drop), whole.drop(columns=drop), check_exact=True)


def test_a_torn_line_is_taken_away_and_a_spoilt_one_is_left_out(tmp_path):
    (tmp_path / ".work").mkdir()
    log = RowLog.of(tmp_path)
    assert log.done() == {}
    log.mend()
    log.append([{"cell": "a", "state": "ok", "x": float("nan")}, {"cell": "f", "state": "failed"}])
    whole = log.file.read_bytes()
    log.file.write_bytes(whole + b'\xff\x00\n[1]\n{"cell": "b"}\n{"cell": "c", "sta')
    log.mend()
    log.append([{"cell": "d", "state": "ok"}])
    assert log.done() == {"a": {"cell": "a", "state": "ok", "x": None}, "d": {"cell": "d", "state": "ok"}}


def test_no_flipped_bit_of_a_row_is_taken_for_a_result(tmp_path):
    (tmp_path / ".work").mkdir()
    log = RowLog.of(tmp_path)
    row = {"cell": "a", "state": "ok", "x": 0.25, "reason": ""}
    log.append([row])
    whole = log.file.read_bytes()
    for place in range(len(whole) - 1):
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            log.file.write_bytes(bytes(flipped))
            assert log.done() in ({}, {"a": row}), (place, bit)
    log.file.write_bytes(whole.replace(b"0.25", b"9.75"))
    assert log.done() == {}


def test_what_an_interrupted_sweep_wrote_for_its_workers_is_written_again(out, inline):
    inline.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        swept(out, "seed=0,1,2,3")
    work = node_of(out, "seed=0,1,2,3").folder / ".work"
    files = [file for file in work.glob("**/*.npy") if not file.is_symlink()]
    assert files
    for file in files:
        np.save(file, np.zeros(1))
    inline.stop_after = None
    assert set(heads(swept(out, "seed=0,1,2,3"))["state"]) == {"ok"}


def test_cells_of_another_sweep_are_taken_over_as_cells_of_this_one(out, inline):
    first = heads(swept(out, "seed=0,1", "centring=0.0,0.1"))
    second = heads(swept(out, "centring=0.1,0.2", "name=other", "seed=choice(1)"))
    assert inline.axes[4:] == [{"centring": "0.2", "seed": "1"}]
    taken = second.iloc[0]
    same = first[(first["seed"] == 1) & (first["centring"] == 0.1)].iloc[0]
    assert taken["cell"] == same["cell"] and taken["seconds"] == same["seconds"]
    assert json.loads(taken["settings"])["name"] == "other"


def test_nothing_is_taken_over_by_force_or_from_what_is_not_finished(out, inline):
    swept(out, "seed=0,1")
    node = node_of(out, "seed=0,1")
    assert not node.sweep_grid.left
    swept(out, "seed=0,1", force=True)
    assert len(inline.axes) == 4
    (node.folder / "manifest.json").unlink()
    (node.folder / "results.parquet").write_bytes(b"PAR1 half")
    assert len(node_of(out, "seed=0,1,2").sweep_grid.left) == 3


def test_a_failure_is_tried_again(out, inline, monkeypatch):
    grid = ("head=choice(trees)", "loss=classification", "seed=0,1")
    with monkeypatch.context() as patch:
        patch.setattr("rmlab.sweeps.cell.fit_head", _no_extra)
        assert set(heads(swept(out, *grid))["reason"]) == {
            f"ImportError: no lightgbm here (test_sweep.py:{_LINE})"
        }
    node = node_of(out, *grid)
    assert node.is_done and len(node.sweep_grid.left) == 2
    assert set(heads(swept(out, *grid, force=True))["state"]) == {"ok"}


def _no_extra(*arguments):
    raise ImportError("no\n lightgbm here")


_LINE = _no_extra.__code__.co_firstlineno + 1


def test_a_selection_brings_its_random_arm_and_is_told_from_it(out, inline):
    found = heads(swept(out, "selection=d_optimal", "comparisons.rounds=2", "comparisons.n=20", "seed=0,1"))
    assert list(found["selection"]) == ["d_optimal", "uniform"] * 2
    assert found["cell"].is_unique and set(found["state"]) == {"ok"}
    chosen = heads(
        swept(out, "selection=uniform,d_optimal", "comparisons.rounds=2", "comparisons.n=20", "seed=0,1")
    )
    assert len(inline.axes) == len(found) == len(chosen)


def test_a_parameter_of_a_selection_is_no_setting_of_its_random_arm(out):
    grid = node_of(out, "selection=d_optimal", "comparisons.rounds=2", "selection.ridge=1,2").sweep_grid
    assert [dict(c.axes) for c in grid.cells] == [
        {"selection": "d_optimal", "selection.ridge": "1"},
        {"selection": "uniform"},
        {"selection": "d_optimal", "selection.ridge": "2"},
    ]


def test_several_data_sets_in_one_sweep(out, inline):
    found = swept(out, "label_golden=sentiment,length", "seed=0,1")
    controls = found[found["kind"] == "oracle"]
    assert list(controls["label_golden"]) == ["sentiment", "length"] and controls["seed"].isna().all()
    assert controls["test_best_of_n"].nunique() == 2
    assert [a["label_golden"] for a in inline.axes] == ["sentiment"] * 2 + ["length"] * 2
    alone = swept(out, "label_golden=choice(length)", "seed=0,1")
    drop = ["settings", "label_golden"]
    pd.testing.assert_frame_equal(
        heads(alone).drop(columns=drop), heads(found).iloc[2:].reset_index(drop=True).drop(columns=drop)
    )


def test_cells_of_the_same_data_run_one_after_the_other(out, inline):
    swept(out, "seed=0,1", "label_golden=sentiment,length")
    assert [a["label_golden"] for a in inline.axes] == ["sentiment"] * 2 + ["length"] * 2


def test_embeddings_are_one_file_for_all_golden_rewards_and_written_once(out, tmp_path, monkeypatch):
    node = node_of(out, "label_golden=sentiment,length")
    inputs = {role: upstream.open() for role, upstream in node.inputs.items()}
    first, second = node.sweep_grid.data
    folders = [write_data(inputs, first, tmp_path)]
    monkeypatch.setattr("rmlab.sweeps.data.map_vectors", None)  # what is there is not written again
    folders.append(write_data(inputs, second, tmp_path))
    assert len(folders) == 2 and len(list(tmp_path.glob("vectors-*.npy"))) == 1
    golden = [read_data(folder).responses.golden for folder in folders]
    assert not np.array_equal(*golden)


def test_many_cells_neither_read_again_nor_leak(out, tmp_path):
    node = node_of(out, "seed=range(0,60)", "head=choice(directions)")
    inputs = {role: upstream.open() for role, upstream in node.inputs.items()}
    folder = write_data(inputs, node.sweep_grid.data[0], tmp_path)
    data = read_data(folder)
    assert isinstance(data.vectors._mapped(), np.memmap)
    assert not isinstance(data.vectors.rows(np.arange(3)), np.memmap)
    (folder / "golden.npy").unlink()  # whoever reads again, fails
    cells = node.sweep_grid.cells
    assert {run_cell(cell, folder)["state"] for cell in cells[:20]} == {"ok"}
    tracemalloc.start()
    try:
        run_cell(cells[20], folder)
        before = tracemalloc.get_traced_memory()[0]
        assert {run_cell(cell, folder)["state"] for cell in cells[21:]} == {"ok"}
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 200_000, grown  # 39 cells; one cell's rows of embeddings are as much
    assert read_data(folder) is data
    if Path("/proc/self/maps").exists():  # pages of the file are no memory of this process
        assert "vectors-" not in Path("/proc/self/maps").read_text()


def test_a_sweep_leaves_no_working_files(out, inline):
    swept(out, "seed=0,1")
    folder = node_of(out, "seed=0,1").folder
    files = [".lock", ".manifest-copy.json", "cell_prompts.parquet", "manifest.json", "results.parquet"]
    assert sorted(p.name for p in folder.iterdir()) == files


def test_no_axis_can_bear_the_name_of_a_column():
    assert not {c.name for c in sweep_table().columns} & set(Settings.model_fields)


def test_the_order_in_which_a_grid_is_typed_makes_no_other_sweep(out):
    assert (
        node_of(out, "seed=0,1", "centring=0.0,0.1").fingerprint
        == node_of(out, "centring=0.1,0.0", "seed=1,0").fingerprint
    )


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ((), "nothing to sweep: give a setting several values, such as seed=0,1,2"),
        (("seed=3",), "nothing to sweep"),
        (("out=a,b",), "give one out=FOLDER"),
    ],
)
def test_what_cannot_be_swept(grid, message):
    with pytest.raises(ConfigError, match=message):
        plan_sweep(points([*SMALL, *grid]), 1)


def test_heads_are_scored_in_the_form_that_the_settings_name(out, inline, monkeypatch):
    monkeypatch.setattr("rmlab.evaluation.score.WORTH_TRYING", 1)
    monkeypatch.setattr("rmlab.heads.fitted.quick.AGREEMENT", 0.9)  # a few responses give few directions
    grid = ("head=mlp_study", "head.epochs=2", "evaluation.scoring=exact,quick")
    rows = heads(swept(out, *grid)).set_index("evaluation.scoring")
    assert rows["quick"].to_dict() == {"exact": False, "quick": True}
    assert rows["chosen"].nunique() == 1  # the same head
    figures = rows.filter(regex="^test_").dropna(axis="columns")
    assert (figures.loc["exact"] != figures.loc["quick"]).any()  # scored in two forms
