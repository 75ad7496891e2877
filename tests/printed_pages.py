"""Runs the blocks of a page as they are printed: shell lines through rmlab's command line, Python in one scope."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def blocks(page: str) -> list[tuple[str, str, str]]:
    """The blocks of a page in order: the file that the line before names, if it is no more than `name`: and
    else "", the language, and the text."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = re.findall(r"^(?:`([\w./-]+)`:\n)?```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    assert found, f"{page} has no blocks"
    return found


def lines_of(block: str) -> list[list[str]]:
    """The words of each line of the shell, without comments, and without PYTHONPATH=. at its start."""
    lines = block.replace("\\\n", " ").splitlines()
    found = [shlex.split(line.removeprefix("PYTHONPATH=. "), comments=True) for line in lines]
    return [words for words in found if words]


def run_page(
    page: str, cli: Callable[..., Any], run_block: Callable[[list[list[str]]], bool] = lambda lines: False
) -> dict[str, Any]:
    """Runs all blocks of a page in the current folder, and returns the names of its Python, and under
    "printed" the output of its commands.

    run_block: is given the lines of each block of the shell, and returns True if it has run them.
    """
    names: dict[str, Any] = {"__name__": "page"}
    printed: list[str] = []
    for file, language, text in blocks(page):
        if file:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            Path(file).write_text(text, encoding="utf-8")
        elif language == "python":
            exec(compile(text, page, "exec"), names)
        elif not language and not run_block(lines_of(text)):
            for program, *words in lines_of(text):
                assert program == "rmlab", program
                done = cli(*(known for word in words for known in _expanded(word)))
                assert done.code == 0, f"{words}: {done.err}"
                printed.append(done.out)
    return names | {"printed": printed}


def _expanded(word: str) -> list[str]:
    """The files that a pattern names, as the shell puts them in its place."""
    return sorted(map(str, Path().glob(word))) if "*" in word else [word]
