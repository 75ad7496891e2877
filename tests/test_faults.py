"""tests/faults: it kills where it says, it goes on, and it sees what is not the same."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

TESTS = Path(__file__).parent


@pytest.fixture(scope="module", autouse=True)
def on_path():
    sys.path.insert(0, str(TESTS))
    yield
    sys.path.remove(str(TESTS))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    from faults.base import make_base

    return make_base(tmp_path_factory.mktemp("faults") / "work", ["import"], 1, lambda line: None)


@pytest.mark.slow
def test_each_phase_is_struck_where_it_says(base):
    from faults.process import Command, Fault, run
    from faults.same import leftovers, remove, torn
    from faults.stages import NAMES

    stage = NAMES["import"]
    moments = base.known["import"].moments
    assert moments["startup"] > 100 and moments["begin"] == 1 and moments["after"] == moments["manifest"] == 3
    folder = base.copy(stage, "phases")
    assert base.differences(folder, stage)  # nothing is there yet
    for phase in ("startup", "rename", "manifest", "after"):
        ended = Command(folder, stage.command, Fault(phase, 1), last=stage.last).end()
        assert ended.code == -signal.SIGKILL and ended.struck and not ended.orphans
        done = [path.parent.parent.name for path in folder.glob("imported/*/*/manifest.json")]
        assert done == (["prompts"] if phase == "after" else [])
        assert bool(list(folder.glob("imported"))) == (phase != "startup")
        assert bool(leftovers(folder)) == (phase in ("rename", "manifest"))
        assert not torn(folder, stage.makes)
        if phase == "rename":
            remove(folder, stage.makes)
    assert base.differences(folder, stage)
    assert run(folder, stage.command).code == 0
    assert base.differences(folder, stage) == [] == leftovers(folder)


@pytest.mark.slow
def test_a_signal_and_a_halt_strike_too(base):
    from faults.process import Command, Fault
    from faults.stages import NAMES

    stage = NAMES["import"]
    folder = base.copy(stage, "signalled")
    ended = Command(folder, stage.command, Fault("rename", 2, "TERM")).end()
    assert ended.struck and ended.code == 130 and len(ended.lines) == 1
    halted = Command(folder, stage.command, Fault("manifest", 1, "WAIT"))
    assert halted.wait_for_strike() and halted.process.poll() is None
    assert not list(folder.glob("imported/*/*/manifest.json"))
    halted.go_on()
    assert halted.end().code == 0 and base.differences(folder, stage) == []
    jumped = base.copy(stage, "jumped")
    assert Command(jumped, stage.command, RMLAB_FAULT_CLOCK="1").end().code == 0
    created = {json.loads(m.read_text())["created"][:4] for m in jumped.glob("imported/*/*/manifest.json")}
    assert created - {time.strftime("%Y")} and base.differences(jumped, stage) == []


@pytest.mark.slow
def test_one_kill_of_one_stage_from_the_command_line(tmp_path):
    command = [sys.executable, "-m", "faults", "--quick", "--only", "kills", "--stage", "import"]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path / "f")], cwd=TESTS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "faults survived: 2/2"
    assert not (tmp_path / "f").exists()  # nothing went wrong, so nothing is kept


def test_comparison_sees_a_changed_byte_a_missing_row_and_a_missing_file(base):
    from faults.same import differences, torn
    from faults.stages import NAMES

    stage = NAMES["import"]

    def changed(name: str) -> Path:
        folder = base.scratch / name
        shutil.copytree(base.folder, folder)
        assert differences(base.folder, folder, stage.makes) == torn(folder, stage.makes) == []
        (part,) = folder.glob("imported/sample/*/part-00000.parquet")
        return part

    def seen(part: Path) -> str:
        folder = part.parents[3]
        assert torn(folder, stage.makes)
        (difference,) = differences(base.folder, folder, stage.makes)
        return difference.removeprefix(part.relative_to(folder).as_posix())

    part = changed("missing")
    part.unlink()
    assert seen(part) == " is missing"
    part = changed("row")
    table = pq.read_table(part)
    pq.write_table(table.slice(1), part)
    assert seen(part) == f" differs: {table.num_rows} rows expected, {table.num_rows - 1} found"
    part = changed("byte")
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    assert seen(part) == " cannot be read"
    part = changed("extra")
    (part.parent / "part-00001.parquet").touch()
    (part.parent / ".hidden").touch()
    (difference,) = differences(base.folder, part.parents[3], stage.makes)
    assert difference.endswith("part-00001.parquet is too much")


def test_times_are_no_difference_and_all_else_is(tmp_path):
    from faults.same import differences

    def write(name: str, value: float, seconds: float, words: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        pq.write_table(pa.table({"value": [value], "seconds": [seconds]}), folder / "t.parquet")
        means = {"metric": ["accuracy", "seconds"], "value": [value, seconds]}
        pq.write_table(pa.table(means), folder / "means.parquet")
        (folder / "report.html").write_text(f"<p>{words} in {seconds} s</p>2026-01-02T03:04:0{name}+00:00")
        return folder

    one, other, wrong = (
        write("1", 1.0, 2.0, "done"),
        write("2", 1.0, 3.0, "done"),
        write("3", 1.5, 2.0, "not"),
    )
    assert differences(one, other, ["*"]) == []
    assert len(differences(one, wrong, ["*"])) == 3


def test_a_run_with_too_few_kills_fails():
    from faults.record import PHASES, Outcome, short_of, table, with_end

    kills = [Outcome("kills", "embed", phase) for phase in PHASES for _ in range(5)]
    assert short_of(kills, "kills", 25, 5) == []
    assert short_of(kills, "kills", 60, 5) == ["25 kills: fewer than 60"]
    assert short_of(kills[1:], "kills", 20, 5) == ["4 kills, start-up: fewer than 5"]
    assert table(kills[:7]) == ["kills, start-up: 5/5 (embed 5)", "kills, mid-shard: 2/2 (embed 2)"]
    assert [o.wrong for o in with_end(kills[:2], ["a", "b"])] == ["a; b"] * 2
