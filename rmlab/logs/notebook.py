"""A bar of progress in a notebook, where standard error is no terminal and lines cannot be written over."""

from __future__ import annotations

import html
import sys
import time
from typing import Any

_PAUSE = 0.2  # seconds between two updates


def in_notebook() -> bool:
    """True if this process is the kernel of a notebook. Nothing is imported to find out."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class NotebookBar:
    """A bar that is shown under the cell and updated in place."""

    def __init__(self, label: str, total: int) -> None:
        from IPython.display import display

        self._label, self._total = label, total
        self._shown = time.monotonic()
        self._handle: Any = display(self._drawn(0, ""), raw=True, display_id=True)

    def update(self, done: int, rate: str) -> None:
        """Shows so much done; what comes too soon after the last update is not shown, but for the end."""
        if done < self._total and time.monotonic() - self._shown < _PAUSE:
            return
        self._shown = time.monotonic()
        self._handle.update(self._drawn(done, rate), raw=True)

    def _drawn(self, done: int, rate: str) -> dict[str, str]:
        text = f"{self._label}: {done:,} of {self._total:,}{', ' if rate else ''}{rate}"
        bar = f'<progress max="{self._total}" value="{done}"></progress>'
        return {"text/plain": text, "text/html": f"{bar} {html.escape(text)}"}
