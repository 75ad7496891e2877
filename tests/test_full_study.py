"""scripts/full_study.py: the set-ups, their settings, and what they would cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from rmlab.grid import points

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


def test_it_stops_where_a_command_fails(tmp_path, monkeypatch, capsys):
    import full_study

    for task in ("hh_harmless", "hh_helpful"):
        (tmp_path / task).mkdir()
        (tmp_path / task / "prompts.jsonl").write_text("{}\n")
    ran = []

    class Done:
        returncode = 3

    monkeypatch.setattr(full_study.subprocess, "run", lambda command, check: ran.append(command) or Done())
    monkeypatch.setattr("sys.argv", ["full_study.py", "--input", str(tmp_path)])
    assert full_study.main() == 3
    assert len(ran) == 1 and "run this again to go on" in capsys.readouterr().err
