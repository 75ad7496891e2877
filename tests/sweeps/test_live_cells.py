import io

import pytest

from rmlab.logs.progress import Progress
from rmlab.sweeps.rows import SHOWN, LiveCells


class Terminal(io.StringIO):
    def isatty(self):
        return True


def row(cell, value, state="ok"):
    numbers = {"validation_best_of_n": value, "test_best_of_n": None, "test_spearman": 0.5, "seconds": 1.25}
    return {"cell": cell, "state": state, "reason": "it broke"} | numbers


AXES = {str(i): {"head": "[red]mlp", "seed": str(i)} for i in range(20)}


def shown(monkeypatch, columns, rows, known=()):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    with Progress("sweep", stream=terminal) as progress:
        progress.start(20, "cells")
        live = LiveCells(progress, AXES, known)
        for r in rows:
            live.tell(r)
    return live, terminal.getvalue()


def test_the_best_come_first_and_what_is_not_defined_comes_last(monkeypatch):
    rows = [row("0", 0.2), row("1", None), row("2", 0.9), row("3", None, "failed")]
    live, text = shown(
        monkeypatch, 120, rows, known=[row("4", 0.5), row("5", 0.7, "failed"), row("not here", 1.0)]
    )
    assert [r["cell"] for r in live.best] == ["2", "4", "0", "1"]
    assert "head=[red]mlp seed=2" in text and "0.900" in text and "1.250" in text
    assert "failed: head=[red]mlp seed=3: it broke" in text and "4/20" in text


def test_no_more_than_some_are_shown_and_named(monkeypatch):
    live, _ = shown(monkeypatch, 120, [row(str(i), i / 20) for i in range(20)])
    assert [r["cell"] for r in live.best] == [str(i) for i in range(19, 19 - SHOWN, -1)]
    _, text = shown(monkeypatch, 120, [row(str(i), None, "failed") for i in range(20)])
    assert text.count("failed:") == SHOWN


@pytest.mark.parametrize(
    ("columns", "kept", "gone"), [(60, "test_best_of_n", "seconds"), (20, "best cells", "_best")]
)
def test_a_narrow_terminal_has_fewer_columns_but_whole_numbers(monkeypatch, columns, kept, gone):
    _, text = shown(monkeypatch, columns, [row("0", 0.25)])
    assert kept.split()[0] in text and gone not in text
    assert ("0.250" in text) == (columns == 60)


def test_nothing_is_drawn_where_there_is_no_terminal():
    stream = io.StringIO()
    with Progress("sweep", stream=stream) as progress:
        progress.start(2, "cells")
        live = LiveCells(progress, AXES)
        live.tell(row("0", 0.5))
        live.tell(row("1", None, "failed"))
    assert stream.getvalue() == "sweep: failed: head=[red]mlp seed=1: it broke\n"
