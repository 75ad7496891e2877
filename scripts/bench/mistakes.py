"""The time until each mistake of tests/test_mistakes.py is told, in a process of its own, as a user types it.

    python scripts/bench/mistakes.py

A run that cannot go well must say so within LIMIT seconds. Prints the slowest; ends with 1 where one took
longer, or ended with another code than the table has. The last line is one JSON object.
"""

from __future__ import annotations

import json
import shlex
import statistics
import sys
import tempfile
import time
from pathlib import Path

from rmlab.processes import run

TESTS = Path(__file__).parents[2] / "tests"
LIMIT = 5.0  # seconds, the start of Python among them
SHOWN = 5


def main() -> int:
    sys.path.insert(0, str(TESTS))
    from test_mistakes import MISTAKES, write_files

    found: list[tuple[float, str]] = []
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder))
        for typed, code, _ in MISTAKES:
            before = time.perf_counter()
            ended = run(
                [sys.executable, "-m", "rmlab", *shlex.split(typed)],
                cwd=folder, capture_output=True, text=True,
            ).returncode  # fmt: skip
            found.append((time.perf_counter() - before, typed))
            if ended != code:
                wrong.append(f"{typed}: {ended} in place of {code}")
    found.sort(reverse=True)
    for seconds, typed in found[:SHOWN]:
        print(f"{seconds:5.1f} s  rmlab {typed}")
    print(*wrong, sep="\n", end="\n" * bool(wrong))
    slowest, median = found[0][0], statistics.median(seconds for seconds, _ in found)
    slow = sum(seconds > LIMIT for seconds, _ in found)
    print(json.dumps({"mistakes": len(found), "slowest": slowest, "median": median, "over_the_limit": slow}))
    return int(bool(wrong) or slow > 0)


if __name__ == "__main__":
    sys.exit(main())
