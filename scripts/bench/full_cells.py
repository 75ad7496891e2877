"""Seconds of one core that a head of the full study takes: a cell of the true shape for each head and budget.

    python scripts/bench/full_cells.py --folder DIR          the true shape: 14 GB of disk, half an hour
    python scripts/bench/full_cells.py --folder DIR --small  a twentieth, to see that it works

The embeddings are synthetic, of 40,000 prompts x 10 and 2,000 x 500 responses, 2,048 wide; cells run one at a
time on one thread, and a cell's time includes scoring and judging a million test responses. Prints the block
`measured` of conf/full_study.yaml, and as its last line one JSON object: core-hours of the whole study.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from study_sets import make_study

sys.path.insert(0, str(Path(__file__).parents[1]))
from full_study import PLAN
from full_study_costs import Costs, costs
from full_study_plan import Plan

ERROR = 0.22  # of the annotations; it hardly changes the time
TRUE, SMALL = (40_000, 10, 2_000, 500, 2048), (2_000, 10, 100, 100, 256)


def rmlab(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "rmlab", *arguments]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"rmlab {' '.join(arguments)} ended with {done.returncode}")
    return done.stdout


def seconds_of(folder: Path, head: list[str], budgets: list[int]) -> dict[int, float]:
    n = ",".join(map(str, budgets))
    common = ["experiment=own_embeddings", f"input={folder}", "comparisons.n_validation=5000"]
    grid = [*head, f"noise.error={ERROR}", f"comparisons.n={n}", "evaluation.scoring=quick"]
    found = json.loads(rmlab(folder, "sweep", "--workers", "1", "--json", *common, *grid))
    rows = pd.read_parquet(folder / found["results"])
    cells = rows[rows["kind"] == "head"]
    if set(cells["state"]) != {"ok"}:
        raise SystemExit(f"cells failed: {sorted(set(cells['reason'].dropna()))}")
    return {int(row["comparisons.n"]): round(float(row["seconds"]), 1) for _, row in cells.iterrows()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the set is made and kept")
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    folder = given.folder.resolve()
    if not (folder / "embeddings.parquet").is_file():
        make_study(folder, *(SMALL if given.small else TRUE))
    content: dict[str, Any] = yaml.safe_load(PLAN.read_text(encoding="utf-8"))
    budgets = [n // 20 for n in content["budgets"]] if given.small else content["budgets"]
    rmlab(folder, "run", "experiment=own_embeddings", f"input={folder}", "arms=['head=linear']")
    found = {name: seconds_of(folder, head, budgets) for name, head in content["heads"].items()}
    if given.small:
        content["budgets"] = budgets
    content["measured"] = {"date": date.today().isoformat(), "seconds": found}
    print(yaml.safe_dump({"measured": content["measured"]}, sort_keys=False))
    plan = Plan.of(content)
    total = Costs.total([costs(plan, setup) for setup in plan.setups])
    cells = sum(setup.n_cells for setup in plan.setups)
    print(json.dumps({"cells": cells, "core_hours": total.core_hours, "core_hours_of_the_study": 6000}))


if __name__ == "__main__":
    main()
