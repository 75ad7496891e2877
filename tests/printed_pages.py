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


def run_page(page: str, cli: Callable[..., Any], edit: Callable[[str], str] = str) -> dict[str, Any]:
    """Runs all blocks of a page in the current folder, and returns the names of its Python, and under
    "printed" the output of its commands.

    edit: is given each line of the shell, to put in names that only a run knows.
    """
    names: dict[str, Any] = {"__name__": "page"}
    printed: list[str] = []
    for file, language, text in blocks(page):
        if file:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            Path(file).write_text(text, encoding="utf-8")
        elif language == "python":
            exec(compile(text, page, "exec"), names)
        elif not language:
            for line in text.replace("\\\n", " ").splitlines():
                words = shlex.split(edit(line), comments=True)
                if words:
                    assert words[0] == "rmlab", line
                    done = cli(*words[1:])
                    assert done.code == 0, f"{line}: {done.err}"
                    printed.append(done.out)
    return names | {"printed": printed}
