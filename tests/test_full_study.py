"""scripts/full_study.py: the set-ups, their settings, and what they would cost."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from rmlab.config.grid import points

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))


@pytest.fixture
def content():
    return yaml.safe_load((ROOT / "conf" / "full_study.yaml").read_text())


def plan_of(content):
    from full_study_plan import Plan

    return Plan.of(content)


def test_there_are_as_many_set_ups_as_in_the_study(content):
    plan = plan_of(content)
    assert len(plan.setups) == 12 and sum(setup.n_cells for setup in plan.setups) == 12_960
    assert len({setup.name for setup in plan.setups}) == 12


def test_every_sweep_is_of_settings_that_there_are(content, tmp_path):
    """All commands of one policy and task, read as rmlab reads them; the cells are all different."""
    setup = plan_of(content).setups[2]
    run, *sweeps = setup.commands(str(tmp_path))
    assert run[0] == "run" and "sft=lora" in run
    cells = [point for _, *overrides in sweeps for point in points(overrides)]
    assert len(cells) == setup.n_cells == len({point.settings.model_dump_json() for point in cells})
    first = cells[0].settings
    assert (first.sampling.n_train, first.sampling.n_test, first.sampling.max_new_tokens) == (10, 500, 128)
    assert (first.sft.rank, first.sft.alpha, first.sft.learning_rate, first.sft.epochs) == (32, 32, 5e-5, 2)
    assert {point.settings.comparisons.n for point in cells} == {5_000, 10_000, 20_000, 40_000}


def test_the_costs_by_hand(content):
    from full_study_costs import costs

    content["supposed"] |= {"tflops": 1.0, "sampling": 0.5, "reading": 1.0, "training": 1.0}
    content["supposed"] |= {"classifier_parameters": 0, "embedder_parameters": 3600}
    content["shape"] |= {
        "train": [2, 3],
        "test": [1, 4],
        "width": 10,
        "prompt_tokens": 5,
        "response_tokens": 7,
    }
    content["shape"]["demonstration_tokens"] = 9
    content["policies"] = {"p": {"model": "m", "parameters": 3600.0, "sft": "lora"}}
    content["tasks"] = ["t"]
    content["measured"] = {
        "date": "2026-01-01",
        "seconds": {
            head: dict.fromkeys(content["budgets"], 3600.0 * k) for k, head in enumerate(content["heads"])
        },
    }
    plan = plan_of(content)
    found = costs(plan, plan.setups[0])
    flop = 2 * (15 + 70 / 0.5) + 2 * (15 + 70) + 4 * 36  # a parameter: prompts 3 x 5 tokens, responses 10 x 7
    assert found.gpu_hours == pytest.approx(flop * 3600 / 1e12 / 3600)
    assert found.core_hours == pytest.approx(plan.setups[0].n_cells * 1.0)
    assert found.disk_gb == pytest.approx(10 * (20 + 56) / 1e9)


def test_a_plan_with_a_head_or_budget_that_was_not_measured_has_no_core_hours(content, capsys):
    from full_study import show
    from full_study_costs import costs

    content["measured"] = {"date": "2026-01-01", "seconds": {"bt-mlp": {5000: 1.0}}}
    plan = plan_of(content)
    assert costs(plan, plan.setups[0]).core_hours is None
    show(plan, list(plan.setups[:1]))
    assert "not every head and budget was measured" in capsys.readouterr().out


def test_budgets_between_those_measured_lie_on_the_line(content, monkeypatch, tmp_path, capsys):
    """The benchmark, without its cells: what it measures, where, and what it prints to paste."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts" / "bench"))
    import full_cells

    ran = []
    monkeypatch.setattr(full_cells, "make_study", lambda folder, *sizes: ran.append((folder, sizes)))
    monkeypatch.setattr(full_cells, "rmlab", lambda folder, *arguments: "")
    monkeypatch.setattr(
        full_cells, "seconds_of", lambda folder, head, budgets, _: {n: n / 100 for n in budgets}
    )
    monkeypatch.setattr("sys.argv", ["full_cells.py", "--folder", str(tmp_path)])
    full_cells.main()
    *lines, last = capsys.readouterr().out.splitlines()
    measured = yaml.safe_load("\n".join(lines))["measured"]
    assert measured["budgets"] == [5000, 40000] and lines[0].startswith("# seconds of the least and the most")
    assert measured["seconds"]["clf-mlp"] == {5000: 50.0, 10000: 100.0, 20000: 200.0, 40000: 400.0}
    assert json.loads(last)["core_hours"] == pytest.approx(12_960 * 187.5 / 3600)
    monkeypatch.setattr("sys.argv", ["full_cells.py", "--folder", str(tmp_path), "--small"])
    full_cells.main()
    [line] = capsys.readouterr().out.splitlines()
    assert set(json.loads(line)) == {"seconds"}
    assert [folder.name for folder, _ in ran] == ["true", "small"]


def test_the_benchmark_takes_no_rows_of_an_earlier_sweep(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "scripts" / "bench"))
    import full_cells

    row = {"kind": "head", "state": "ok", "reason": None, "comparisons.n": "7"}
    rows = [row | {"seconds": seconds} for seconds in (1.0, 2.0)]  # of a group: the mean counts
    pd.DataFrame(rows).to_parquet(tmp_path / "results.parquet")
    ran = []

    def rmlab(folder, *arguments):
        ran.append(arguments)
        return json.dumps({"results": "results.parquet"})

    monkeypatch.setattr(full_cells, "rmlab", rmlab)
    assert full_cells.seconds_of(tmp_path, ["head=mlp"], [7], [0.1, 0.3]) == {7: 1.5}
    assert ran[0][0] == "sweep" and {"--force", "noise.error=0.1,0.3", "comparisons.n=7"} <= set(ran[0])


def test_the_dry_run_lists_all_and_ends_with_one_json_line(capsys, monkeypatch):
    from full_study import main

    monkeypatch.setattr("sys.argv", ["full_study.py", "--dry-run"])
    assert main() == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("  rmlab run") for line in lines) == 12
    assert sum(line.startswith("  rmlab sweep") for line in lines) == 12 * 9
    assert json.loads(last)["cells"] == 12_960


@pytest.mark.parametrize(
    "arguments, said",
    [(["--only", "gpt-9/hh_harmless"], "no gpt-9/hh_harmless; known: gemma-2b"), ([], "--input")],
)
def test_wrong_arguments_are_one_line(capsys, monkeypatch, arguments, said):
    from full_study import main

    monkeypatch.setattr("sys.argv", ["full_study.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2 and said in capsys.readouterr().err


@pytest.mark.parametrize("code, n_run", [(3, 1), (4, 12 * 10)])
def test_it_stops_where_a_command_fails_but_not_for_some_cells(tmp_path, monkeypatch, capsys, code, n_run):
    import full_study

    for task in ("hh_harmless", "hh_helpful"):
        (tmp_path / task).mkdir()
        (tmp_path / task / "prompts.jsonl").write_text("{}\n")
    ran = []

    class Done:
        returncode = code

    monkeypatch.setattr(full_study, "run_program", lambda command: ran.append(command) or Done())
    monkeypatch.setattr("sys.argv", ["full_study.py", "--input", str(tmp_path)])
    assert full_study.main() == code
    said = {3: "run this again to go on", 4: "some cells failed"}[code]
    assert len(ran) == n_run and said in capsys.readouterr().err
