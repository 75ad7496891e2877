"""One function prints: nothing that a stranger has named reaches the terminal as anything but text."""

from __future__ import annotations

import ast
import errno
import io
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_settings import SMALL

import rmlab
from rmlab import terminal
from rmlab.errors import printable
from rmlab.logs import log, progress
from rmlab.logs.progress import Progress

HOSTILE = "x\x1b[31m\x1b]0;y\x07\x9b2J\x08\r\u202e\u2066\u200f\u2028\x85\x7f\ny"
DOOR = {"terminal.py"}
RICH = {*DOOR, "logs/progress.py"}  # the bar is drawn on the door's console
PRINTS = {"print", "pprint", "input"}
ECHOES = {"echo", "secho", "print_exc", "print_exception", "print_stack", "print"}
STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__"}


def plain(text: str) -> bool:
    return all(c.isprintable() or c == "\n" for c in text)


def ways_around(tree: ast.AST, name: str) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in PRINTS:
            found.append(f"{name}:{node.lineno}: {node.func.id}()")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ECHOES:
            found.append(f"{name}:{node.lineno}: .{node.func.attr}()")
        if isinstance(node, ast.Attribute) and node.attr in STREAMS and ast.unparse(node.value) == "sys":
            found.append(f"{name}:{node.lineno}: sys.{node.attr}")
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "rich":
            found.append(f"{name}:{node.lineno}: rich")
        if isinstance(node, ast.Import) and any(a.name.partition(".")[0] == "rich" for a in node.names):
            found.append(f"{name}:{node.lineno}: rich")
        if (
            isinstance(node, ast.ImportFrom)
            and node.module == "sys"
            and {a.name for a in node.names} & STREAMS
        ):
            found.append(f"{name}:{node.lineno}: from sys")
    return found


def test_nothing_else_of_the_package_prints():
    root = Path(rmlab.__file__).parent
    found = []
    for file in sorted(root.rglob("*.py")):
        name = file.relative_to(root).as_posix()
        known = ways_around(ast.parse(file.read_text()), name)
        found += [way for way in known if name not in RICH or (name not in DOOR and not _of_bar(way))]
    assert found == []


def _of_bar(way: str) -> bool:
    return way.endswith((": rich", ".print()"))


def test_the_ways_around_the_door_are_known():
    text = "import sys, rich\nprint(1)\ntyper.echo(1)\nsys.stdout.write('')\ntraceback.print_exc()\nrich.print(1)"
    assert len(ways_around(ast.parse(text), "x")) == 6


def test_every_line_is_one_line_of_plain_text(capfd):
    terminal.say(HOSTILE, "b")
    terminal.note(HOSTILE)
    terminal.say_table([HOSTILE], [[HOSTILE], ["[red]a :smile:"]], HOSTILE)
    out, err = capfd.readouterr()
    assert plain(out) and plain(err)
    assert out.splitlines()[:2] == [printable(HOSTILE), "b"] and err == printable(HOSTILE) + "\n"
    assert "\\x1b[31m" in out and "\\u202e" in out and "[red]a :smile:" in out and "\\ny" in out


LONG = "artifacts/embed/" + "x" * 300
CELLS = [("embed", LONG, "the last"), ("fit_rm", "short", "")]


def test_no_cell_of_a_table_is_cut_and_without_a_terminal_a_row_is_a_line(capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    terminal.say_table(("stage", "artifact", "detail"), CELLS, "a title " + "y" * 400)
    title, names, first, second = capfd.readouterr().out.splitlines()
    assert title == "a title " + "y" * 400 and names.split() == ["stage", "artifact", "detail"]
    assert first.split() == ["embed", LONG, "the", "last"] and second == "fit_rm  short"


def test_on_a_narrow_terminal_cells_go_on_in_the_next_line(capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(terminal.OUT, "isatty", lambda: True)
    terminal.say_table(("stage", "artifact"), [cells[:2] for cells in CELLS])
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capfd.readouterr().out).splitlines()
    assert max(map(len, lines)) <= 60 and "…" not in "".join(lines)
    assert "".join(line[8:].strip() for line in lines[1:-1]) == LONG


def test_json_is_the_same_value(capfd):
    value = {HOSTILE: [HOSTILE, "é 中 \U000e0041", 1.5, None], "half": "\ud83d"}
    terminal.say_json(value)
    out = capfd.readouterr().out
    assert plain(out) and json.loads(out) == value and "é 中" in out and "\\udb40\\udc41" in out


def test_an_encoding_that_lacks_letters(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii"))
    terminal.say("é")
    terminal.say_json("é")
    assert raw.getvalue() == b'\\xe9\n"\\u00e9"\n'


def hostile_table(folder: Path) -> Path:
    file = folder / f"{HOSTILE}.parquet"
    pq.write_table(pa.table({HOSTILE: [HOSTILE], "struct": [{HOSTILE: 1}]}), file)
    return file


def test_inspect_of_a_strangers_table(cli, tmp_path):
    result = cli("inspect", hostile_table(tmp_path))
    assert result.code == 0 and plain(result.out) and "\\x1b[31m" in result.out
    result = cli("inspect", hostile_table(tmp_path), "--json")
    assert plain(result.out) and result.json["tables"][0]["columns"][0]["name"] == HOSTILE


@pytest.fixture(scope="module")
def named(small_run, tmp_path_factory) -> Path:
    """The small run in a folder of a hostile name, with a manifest that has such names."""
    out = tmp_path_factory.mktemp("named") / f"a{HOSTILE}"
    shutil.copytree(small_run, out)
    return out


@pytest.mark.parametrize(
    "words",
    [
        ["verify", "{out}"],
        ["inspect", "{eval_rm}"],
        ["inspect", "{none}"],
        ["import", "{rows}", "--dry-run"],
        ["import", "{rows}/x"],
        ["merge", "{none}", "{out}", "{out}"],
        ["validate", "{out}"],
        ["export", "{none}", "--from", "{eval_rm}"],
        ["doctor"],
        ["verify", "{out}", "--json"],
        ["inspect", "{eval_rm}", "--json"],
        ["import", "{rows}", "--dry-run", "--json"],
        ["doctor", "--json"],
        ["run", "experiment={hostile}"],
        ["run", "seed={hostile}"],
        ["status", "--config-dir", "{none}"],
        ["{hostile}"],
        ["run", "--{hostile}"],
    ],
    ids=lambda words: "-".join(words)[:20],
)
def test_hostile_names_through_commands(cli, named, tmp_path, monkeypatch, words):
    rows = tmp_path / f"{HOSTILE}.jsonl"
    pairs = [{"prompt": f"{HOSTILE} {n}", "chosen": "b", "rejected": "c"} for n in range(20)]
    rows.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    monkeypatch.setenv("RMLAB_CACHE", str(tmp_path / HOSTILE))
    monkeypatch.chdir(tmp_path)
    places = {
        "out": named,
        "eval_rm": next((named / "eval_rm").iterdir()),
        "none": tmp_path / f"none{HOSTILE}",
        "rows": rows,
        "hostile": HOSTILE,
    }
    result = cli(*(word.format(**places) for word in words))
    assert plain(result.out) and plain(result.err), ascii(result.out + result.err)
    assert "--json" not in words or result.json


def test_errors_of_libraries_and_debugging_pass_the_door(cli, monkeypatch, tmp_path):
    import logging
    import warnings

    from rmlab.commands import doctor

    def broken(as_json: bool, measured_model: str | None) -> None:
        logging.getLogger("stranger").error("%s", HOSTILE)
        warnings.warn(HOSTILE, UserWarning, stacklevel=1)
        raise KeyError(HOSTILE)

    monkeypatch.setenv("RMLAB_DEBUG", "1")
    monkeypatch.setenv("RMLAB_CACHE", str(tmp_path))
    monkeypatch.setattr(doctor, "doctor_command", broken)
    result = cli("doctor")
    assert result.code == 1 and plain(result.err) and "Traceback" in result.err
    assert result.err.count("\\x1b[31m") >= 3


def test_progress_and_its_bar_show_plain_text(monkeypatch, capfd):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "400")
    hostile = "[red]x\x07\u202e\x9b2J"
    for stream in (None, Terminal()):
        with Progress(hostile, stream=stream) as shown:
            shown.start(3)
            shown.advance(1)
            shown.say(hostile)
            shown.table([hostile], [[hostile]])
    bar, lines = stream.getvalue(), capfd.readouterr().err
    assert plain(lines) and printable(hostile) in lines
    assert not any(c in bar for c in ("\x07", "\u202e", "\x9b")) and printable(hostile) in bar


class Broken(io.StringIO):
    """A terminal that fails from a moment on."""

    def __init__(self, number: int, is_terminal: bool) -> None:
        super().__init__()
        self.number, self.is_terminal, self.left = number, is_terminal, 2

    def isatty(self) -> bool:
        return self.is_terminal

    def write(self, text: str) -> int:
        self.left -= 1
        if self.left < 0:
            raise OSError(self.number, os.strerror(self.number))
        return super().write(text)


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_that_fails_ends_no_stage(number, is_terminal, monkeypatch):
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.0)
    log.start(["rmlab", "run"])
    try:
        with Progress("work", stream=Broken(number, is_terminal)) as shown:
            shown.start(50)
            for _ in range(50):
                shown.advance(1)
                shown.say("goes on")
                shown.table(["a"], [["b"]])
        events = [json.loads(record) for record in log._log.held]
    finally:
        log.stop()
    assert sum(e["event"] == "said" for e in events) == 50
    assert sum(e["event"] == "progress" for e in events) > 10


def test_a_display_that_breaks_is_given_up(monkeypatch):
    monkeypatch.setattr(progress, "console", lambda screen: 1 / 0)
    stream = Broken(0, True)
    stream.left = 100
    with Progress("work", stream=stream) as shown:
        shown.start(1)
        shown.say("goes on")
    assert stream.getvalue() == "work: goes on\n"


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(errno.ENOSPC, 1, "the output cannot be written (No space left on device)"), (errno.EPIPE, 1, "")],
)
def test_results_that_cannot_be_printed_are_a_failure(cli, monkeypatch, number, code, said):
    stream = Broken(number, False)
    stream.left = 0
    monkeypatch.setattr(sys, "stdout", stream)
    result = cli("status", *SMALL, "out=nowhere")
    assert result.code == code and said in result.err and result.err.count("\n") == bool(said)
