"""The one place that writes to the terminal: all commands, progress and errors print through it.

Text is escaped first, so that a name in somebody's file is shown and never obeyed by the terminal. A terminal
that was closed, or a full disk, ends no work: what cannot be written is dropped, and the reason is kept.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rmlab.errors import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_WIDTH = 140  # columns of a live display where the output is no terminal; rich would assume 80
_UNBOUNDED = 10**6  # columns of a table where the output is no terminal


class Screen:
    """A text file that is written to for as long as that works.

    lost: the error since which it does not; has_hung_up: it was a terminal, which somebody has closed.
    """

    def __init__(self, name: str, file: TextIO | None = None) -> None:
        """name: stdout or stderr, as sys has it at the time, unless a file is given."""
        self._name, self._given = name, file
        self.lost: Exception | None = None
        self.has_hung_up = False

    @property
    def _file(self) -> TextIO:
        found: TextIO = self._given or getattr(sys, self._name)
        return getattr(found, "rich_proxied_file", found)  # a live bar stands in front of the file

    @property
    def encoding(self) -> str:
        return getattr(self._file, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        with suppress(OSError, ValueError):
            return self.lost is None and self._file.isatty()
        return False

    def write(self, text: str) -> int:
        """Writes text that was escaped before; what the encoding of the file lacks is escaped here."""
        known = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
        self._attempt(lambda: self._file.write(known))
        return len(text)

    def flush(self) -> None:
        self._attempt(self._file.flush)

    def _attempt(self, act: Callable[[], object]) -> None:
        if self.lost is None:
            try:
                act()
            except (OSError, ValueError) as error:  # ValueError is what a closed file raises
                self.lose(error)

    def lose(self, error: Exception) -> None:
        """Sends to nowhere what the file still holds, else Python would fail on it again when it exits."""
        self.lost = error
        with suppress(OSError, ValueError):
            number = self._file.fileno()
            is_device = stat.S_ISCHR(os.fstat(number).st_mode)
            self.has_hung_up = is_device and getattr(error, "errno", None) == errno.EIO
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)

    def lines(self, texts: Sequence[str]) -> None:
        """Writes each text as one line."""
        self.write("".join(f"{printable(text)}\n" for text in texts))
        self.flush()


OUT, ERR = Screen("stdout"), Screen("stderr")


def start() -> None:
    """Opens closed standard streams on /dev/null, or other files would get their numbers, as in a daemon."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
    for screen in (OUT, ERR):
        screen.lost, screen.has_hung_up = None, False


def flush() -> None:
    for screen in (OUT, ERR):
        screen.flush()


def say(*lines: str) -> None:
    """Prints lines of results on standard output."""
    OUT.lines(lines)


@contextmanager
def output_as_notes() -> Iterator[None]:
    """Within, what libraries print on standard output goes to standard error, where it disturbs no result."""
    with redirect_stdout(sys.stderr):
        yield


def note(*lines: str) -> None:
    """Prints lines about the work on standard error, above a live bar if there is one."""
    front = sys.stderr
    if hasattr(front, "rich_proxied_file"):
        front.write("".join(f"{printable(line)}\n" for line in lines))
    else:
        ERR.lines(lines)


def say_json(value: Any) -> None:
    """Prints a plain value as JSON, in which escapes stand for unprintable characters."""
    is_whole = "utf" in OUT.encoding.lower()
    text = json.dumps(value, indent=2, ensure_ascii=not is_whole, allow_nan=False)
    OUT.write(re.sub(r"[^ -~\n]", lambda found: _json_escaped(found[0]), text) + "\n")
    OUT.flush()


def _json_escaped(letter: str) -> str:
    return letter if letter.isprintable() else json.dumps(letter)[1:-1]


def console(screen: Screen = OUT) -> Console:
    """A rich console, for tables of `plain_table` and live bars."""
    from rich.console import Console

    return Console(
        file=screen,  # type: ignore[arg-type]
        width=None if screen.isatty() else _WIDTH,
        markup=False,
        emoji=False,
        highlight=False,
    )


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table whose cells are shown as they are, without the markup of rich; long ones are folded."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(Text(printable(name)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def say_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "", *, narrowest: int = 0
) -> None:
    """Prints a table on standard output; no cell is cut.

    A cell that a terminal is too narrow for goes on in the next line. Where the output is no terminal, each
    row is one line, whatever its length. narrowest: columns that are used even of a narrower terminal.
    """
    to = console()
    to.width = max(to.width, narrowest) if OUT.isatty() else _UNBOUNDED
    if title:
        say(title)
    with to.capture() as drawn:
        to.print(plain_table(columns, rows))
    OUT.write("".join(f"{line.rstrip()}\n" for line in drawn.get().splitlines()))
    OUT.flush()


def rough_time(seconds: float) -> str:
    """Returns a time in words, such as 5.1 minutes."""
    for unit, name in ((3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.1f} {name}" if seconds < 10 * unit else f"{seconds / unit:,.0f} {name}"
    return "a second" if seconds < 1.5 else f"{seconds:,.0f} seconds"


def size_text(n: float) -> str:
    """Returns a number of bytes in words, such as 5.1 MB."""
    for unit in ("bytes", "kB", "MB"):
        if n < 1000:
            return f"{n:,.0f} {unit}" if unit == "bytes" else f"{n:,.1f} {unit}"
        n /= 1000
    return f"{n:,.1f} GB"
