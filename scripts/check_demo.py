"""After `make demo`: the head chosen on validation prompts beats random and length, beyond its interval."""

from __future__ import annotations

import json
import sys

from rmlab.processes import run


def main() -> int:
    command = [sys.executable, "-m", "rmlab", "run", "experiment=demo", "--json"]
    found = json.loads(run(command, capture_output=True, check=True).stdout)
    states = {s["state"] for s in found["stages"]}
    gaps = found["evaluation"]["chosen_minus"]
    ok = states == {"already"} and found["report"].endswith("report.html")
    for control in ("random", "length"):
        gap = gaps[control]
        print(f"chosen less {control}: {gap['value']:.3f} [{gap['low']:.3f}, {gap['high']:.3f}]")
        ok = ok and gap["low"] > 0
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
