"""Seconds of one core that a head of the full study takes: cells of the true shape for each head.

    python scripts/bench/full_cells.py --folder DIR          the true shape: 14 GB of disk, 12 cells a head
    python scripts/bench/full_cells.py --folder DIR --small  a twentieth, to see that it works

The embeddings are synthetic, of 40,000 prompts x 10 and 2,000 x 500 responses, 2,048 wide, and are kept in
DIR/true (or DIR/small). Cells run on one thread in groups, as those of the study's sweeps do: a group has the
same comparisons, answered with each of the study's error rates. The cells of a group share what does not
depend on the answers, and are scored in one pass over the embeddings; a cell's time has its share of that,
with a million test responses scored and judged. The smallest and the largest budget are measured, anew each
time; those between lie on the line through the two, by their number of comparisons.

Prints the block `measured` of conf/full_study.yaml, and as its last line one JSON object: core-hours of the
whole study. With --small there is no block, and the last line has the seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from study_sets import make_study

from rmlab.processes import Child

sys.path.insert(0, str(Path(__file__).parents[1]))
from full_study import PLAN
from full_study_costs import Costs, costs
from full_study_plan import Plan

TRUE, SMALL = (40_000, 10, 2_000, 500, 2048), (2_000, 10, 100, 100, 256)


def rmlab(folder: Path, *arguments: str) -> str:
    child = Child("rmlab", *arguments, environment={}, is_read=True, folder=folder)
    try:
        told, _ = child.communicate()
    finally:
        child.stop()
    if child.returncode:
        raise SystemExit(f"rmlab {' '.join(arguments)} ended with {child.returncode}")
    return told.decode()


def seconds_of(folder: Path, head: list[str], budgets: list[int], errors: list[float]) -> dict[int, float]:
    """The mean over the cells of a group, by budget."""
    n, error = (",".join(map(str, values)) for values in (budgets, errors))
    common = ["experiment=own_embeddings", f"input={folder}", "comparisons.n_validation=5000"]
    grid = [*head, f"noise.error={error}", f"comparisons.n={n}", "evaluation.scoring=quick"]
    found = json.loads(rmlab(folder, "sweep", "--force", "--workers", "1", "--json", *common, *grid))
    rows = pd.read_parquet(folder / found["results"])
    cells = rows[rows["kind"] == "head"]
    if set(cells["state"]) != {"ok"}:
        raise SystemExit(f"cells failed: {sorted(set(cells['reason'].dropna()))}")
    means = cells.groupby("comparisons.n")["seconds"].mean()
    return {int(n): float(seconds) for n, seconds in means.items()}


def on_a_line(ends: dict[int, float], budgets: list[int]) -> dict[int, float]:
    """Seconds of every budget; ends: those of the smallest and the largest."""
    known = sorted(ends)
    return {n: round(float(np.interp(n, known, [ends[k] for k in known])), 1) for n in budgets}


def block(measured: dict[str, Any]) -> str:
    """Of conf/full_study.yaml; what was measured and what was not."""
    say = "# seconds of the least and the most comparisons were measured; those between lie on the line"
    return f"{say}\n{yaml.safe_dump({'measured': measured}, sort_keys=False)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the set is made and kept")
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    folder = given.folder.resolve() / ("small" if given.small else "true")
    if not (folder / "embeddings.parquet").is_file():
        make_study(folder, *(SMALL if given.small else TRUE))
    content: dict[str, Any] = yaml.safe_load(PLAN.read_text(encoding="utf-8"))
    budgets = sorted(n // 20 if given.small else n for n in content["budgets"])
    ends = list(dict.fromkeys([budgets[0], budgets[-1]]))
    rmlab(folder, "run", "experiment=own_embeddings", f"input={folder}", "arms=['head=linear']")
    heads = content["heads"].items()
    errors = content["errors"]
    found = {name: on_a_line(seconds_of(folder, head, ends, errors), budgets) for name, head in heads}
    if given.small:
        print(json.dumps({"seconds": found}))
        return
    content["measured"] = {"date": date.today().isoformat(), "budgets": ends, "seconds": found}
    print(block(content["measured"]))
    plan = Plan.of(content)
    total = Costs.total([costs(plan, setup) for setup in plan.setups])
    cells = sum(setup.n_cells for setup in plan.setups)
    print(json.dumps({"cells": cells, "core_hours": total.core_hours, "core_hours_of_the_study": 6000}))


if __name__ == "__main__":
    main()
