"""Known vulnerabilities of pinned packages, by pip-audit: python audit.py CONSTRAINTS... (see `make audit`).

pip-audit alone says "No known vulnerabilities found" where it could look up nothing at all; here that is a
failure. Exit codes: 0 none known of any package, 1 some, 3 not all could be looked up.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from rmlab.processes import run

COMMAND = (
    sys.executable,
    "-m",
    "pip_audit",
    "--format=json",
    "--progress-spinner=off",
    "--no-deps",
    "--disable-pip",
)


def main(files: list[str]) -> int:
    return max(audit(file) for file in files)


def audit(file: str) -> int:
    done = run([*COMMAND, "-r", file], capture_output=True, text=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return _told(file, [f"could not look: the vulnerability service cannot be reached ({last[:200]})"], 3)
    return _told(file, *verdict(packages))


def verdict(packages: list[dict[str, Any]]) -> tuple[list[str], int]:
    """What to say of pip-audit's list of packages, and the exit code."""
    skipped = [p["name"] for p in packages if "skip_reason" in p]
    found = [(p, v) for p in packages for v in p.get("vulns", [])]
    looked = len(packages) - len(skipped)
    if not looked:
        return [
            f"could not look: the vulnerability service knows none of the {len(packages)} packages here"
        ], 3
    lines = [
        f"{p['name']} {p['version']}: {v['id']}, mended in {', '.join(v['fix_versions']) or 'no version yet'}"
        for p, v in found
    ]
    lines.append(f"{len(found)} known vulnerabilities in {looked} of {len(packages)} packages")
    if skipped:
        lines.append(f"could not look up {len(skipped)}: {', '.join(skipped)}")
    return lines, 1 if found else 3 if skipped else 0


def _told(file: str, lines: list[str], code: int) -> int:
    for line in lines:
        print(f"audit: {file}: {line}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
