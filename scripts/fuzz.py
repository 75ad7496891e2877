"""Hostile cases for every reader, two processes at a time: `make fuzz`. Ends with the counts."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rmlab.processes import run

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "tests" / "fuzz"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000, help="of each reader")
    parser.add_argument("--seed", type=int, help="other cases than the usual ones")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("only", nargs="*", help="names of tests, such as test_heads")
    given = parser.parse_args()
    tests = _tests(given.only)
    with tempfile.TemporaryDirectory() as counts:
        environment = {"RMLAB_FUZZ_CASES": str(given.cases), "RMLAB_FUZZ_COUNTS": counts}
        if given.seed is not None:
            environment["RMLAB_FUZZ_SEED"] = str(given.seed)
        with ThreadPoolExecutor(given.jobs) as pool:
            failures = sum(pool.map(lambda test: _run(test, environment), tests))
        found = sum((Counter(json.loads(file.read_text())) for file in Path(counts).iterdir()), Counter())
    for reader, n in sorted(found.items()):
        print(f"{reader:>16} {n:>7,} cases")
    few = [reader for reader, n in found.items() if n < given.cases]
    if few:
        print(f"fewer than {given.cases:,} cases: {', '.join(sorted(few))}")
    failed = failures or bool(few) or len(found) < len(tests)
    print(f"fuzz: {len(found)} readers, {sum(found.values()):,} cases, {failures} failures")
    return int(failed)


def _tests(only: list[str]) -> list[str]:
    """One test a reader, the longest first."""
    listed = run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-k", "not bomb", str(FOLDER)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    tests = [line for line in listed.splitlines() if "::" in line]
    slow = ("test_settings", "test_overrides", "test_sets", "test_reports")
    tests.sort(key=lambda test: not test.endswith(slow))
    return [t for t in tests if not only or t.partition("::")[2] in only]


def _run(test: str, environment: dict[str, str]) -> int:
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", test]
    done = run(command, environment=environment, cwd=ROOT, capture_output=True, text=True)
    print(f"{test.partition('::')[2]}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    if done.returncode:
        lines = (done.stdout + done.stderr).splitlines()[-80:]
        print("\n".join(line[:300] for line in lines), flush=True)
    return int(done.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
