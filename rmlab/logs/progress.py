"""Progress of a stage, its speed and the time left: a bar on a terminal or in a notebook, or plain lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, TextIO

from rmlab.errors import printable
from rmlab.logs import log
from rmlab.logs.notebook import NotebookBar, in_notebook
from rmlab.terminal import ERR, Screen, console, note, plain_table

_LINE_EVERY = 15.0  # seconds between plain lines, and between records in the log


class Progress:
    """Counts rows, and tokens if there are any; writes to the run's log, and to stderr unless `quiet`.

    A display that fails is given up, and the work that it shows goes on.
    """

    def __init__(
        self, label: str, unit: str = "rows", quiet: bool = False, stream: TextIO | None = None
    ) -> None:
        self.label, self.unit, self.quiet = label, unit, quiet
        self._screen = ERR if stream is None else Screen("", stream)
        self.total = self.done = self.tokens = self.resumed = 0
        self.started = self.last_line = time.monotonic()
        self._bar: Any = None
        self._live: Any = None
        self._notebook: NotebookBar | None = None

    def start(self, total: int, unit: str | None = None) -> None:
        """Starts to count to `total`; a stage with nothing to count does not call this."""
        self.unit = unit or self.unit
        self.total, self.done, self.tokens, self.resumed = total, 0, 0, 0
        self.started = self.last_line = time.monotonic()
        if not self.quiet and self._screen.isatty():
            self._display(self._open_bar)
        elif not self.quiet and self._screen is ERR and in_notebook():
            self._display(self._open_in_notebook)

    def skip(self, n: int) -> None:
        """Counts n things that an earlier run has done, which do not count for the speed."""
        self.resumed += n
        self.advance(n)

    def advance(self, n: int = 0, tokens: int = 0) -> None:
        self.done += n
        self.tokens += tokens
        if self._bar is not None:
            self._display(lambda: self._bar.update(0, completed=self.done, rate=self.rate()))
        if (drawn := self._notebook) is not None:
            self._display(lambda: drawn.update(self.done, self.rate()))
        if time.monotonic() - self.last_line > _LINE_EVERY:
            self.last_line = time.monotonic()
            text = f"{self.done}/{self.total} {self.unit}, {self.rate()}{self._left()}"
            log.event("progress", what=self.label, text=text)
            if self._bar is None and self._notebook is None:
                self.show(text)

    def say(self, text: str) -> None:
        log.event("said", what=self.label, text=text)
        self.show(text)

    def warn(self, text: str) -> None:
        log.event("said", "warning", what=self.label, text=text)
        self.show(f"warning: {text}")

    def show(self, text: str) -> None:
        """Prints a line on the terminal, without logging it."""
        line = f"{self.label}: {text}"
        if self._live is not None:
            self._display(lambda: self._live.console.print(printable(line)))
        elif not self.quiet:
            self._display(lambda: note(line) if self._screen is ERR else self._screen.lines([line]))

    def rate(self) -> str:
        elapsed = max(1e-9, time.monotonic() - self.started)
        rows = (self.done - self.resumed) / elapsed
        tokens = f", {self.tokens / elapsed:,.0f} tokens/s" if self.tokens else ""
        return f"{rows:,.1f} {self.unit}/s{tokens}"

    def _left(self) -> str:
        fresh = self.done - self.resumed
        if fresh <= 0:
            return ""
        left = (self.total - self.done) * (time.monotonic() - self.started) / fresh
        return f", about {left:,.0f} s left"

    def _open_in_notebook(self) -> None:
        self._notebook = NotebookBar(self.label, self.total)

    def _open_bar(self) -> None:
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self.close()
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeRemainingColumn(),
        )
        self._bar = Bar(*columns, console=console(self._screen))
        self._bar.add_task(printable(self.label), total=self.total, rate="")
        self._live = Live(self._bar, console=self._bar.console, transient=True)
        self._live.start()

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Shows a table under the bar in place of the previous one; does nothing without a terminal.

        On a narrow terminal the last columns are left out.
        """
        if self._live is None:
            return
        self._display(lambda: self._update_table(columns, rows))

    def _update_table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        from rich.console import Group

        n = _n_fitting(columns, self._live.console.width)
        table = plain_table(columns[:n], [row[:n] for row in rows])
        self._live.update(Group(self._bar, table))

    def _display(self, show: Callable[[], object]) -> None:
        try:
            show()
        except Exception as error:
            log.trouble(error, what=self.label)
            self.close()

    def close(self) -> None:
        live, self._bar, self._live, self._notebook = self._live, None, None, None
        if live is not None:
            with suppress(Exception):
                live.stop()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is not None:
            log.stopped(self.label, error)


def _n_fitting(columns: Sequence[str], width: int) -> int:
    """The number of columns that fit: the first, which may be wrapped to half its width, and those after
    it."""
    left = width - len(columns[0]) // 2
    n = 1
    while n < len(columns) and left >= len(columns[n]) + 2:
        left -= len(columns[n]) + 2
        n += 1
    return n
