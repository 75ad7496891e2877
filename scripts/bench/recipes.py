"""Is any recipe better than the defaults? Every recipe on eight set-ups, three noise levels, three budgets.

    python scripts/bench/recipes.py --out DIR [--set SET] [--seeds 100,101] [--recipe NAME ...] [--quick]

A recipe is a head with its settings and a loss. Each is fitted on every cell: a set-up of the embedding
set (policy, golden reward, embedding), a share of wrong answers, a number of comparisons. It is judged by
the golden reward of the best of all test responses, in standard deviations of the golden reward. A rival
is better in a cell if its mean gain is above 0 by a one-sided t-test over seeds and test prompts, after
Holm's correction over all cells and rivals. Judge a default on other seeds than those it was chosen on.
An interrupted run goes on with the same command.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from rmlab.commands.run import command_line
from rmlab.models.compute import available_cores
from rmlab.pipeline.plan import in_order
from rmlab.pipeline.run import run_nodes
from rmlab.study.effects import effect, variance_of_mean
from rmlab.study.finding import Claim, Finding
from rmlab.study.plan import Member, plan_study
from rmlab.study.values import CellValues

LINEAR, MLP = "linear BT", "MLP BT"
DEFAULTS = {"head=linear": LINEAR, "head=mlp": MLP}
RECIPES = {
    LINEAR: "head=linear loss=bradley_terry",
    "linear CLF": "head=linear loss=classification",
    "linear CLF, centred": "head=linear head.centre=prompt loss=classification",
    "linear hinge": "head=linear loss=hinge",
    "linear smoothed": "head=linear loss=label_smoothing",
    "linear robust": "head=linear loss=robust_btl",
    "directions": "head=directions loss=bradley_terry",
    MLP: "head=mlp loss=bradley_terry",
    "MLP CLF": "head=mlp loss=classification",
    "MLP CLF, centred": "head=mlp head.centre=prompt loss=classification",
    "MLP, earlier default": (
        "head=mlp loss=bradley_terry head.hidden=[128,64] head.dropout=0.1 head.weight_decay=0.01 "
        "head.learning_rate=1e-3 head.epochs=30 head.patience=5 head.zero_output=false"
    ),
    "MLP 128-64": "head=mlp loss=bradley_terry head.hidden=[128,64] head.dropout=0.3",
    "MLP 512": "head=mlp loss=bradley_terry head.hidden=[512] head.dropout=0.5",
    "study's MLP BT": "head=mlp_study loss=bradley_terry",
    "study's MLP CLF": "head=mlp_study loss=classification",
    "LightGBM": "head=trees loss=classification",
    "LightGBM, centred": "head=trees head.centre=prompt head.feature_fraction=0.1 loss=classification",
    "LightGBM BT, centred": "head=trees head.centre=prompt head.feature_fraction=0.1 loss=bradley_terry",
}
SETUPS = ["set.policy=base,sft", "set.reward=sentiment,descriptiveness", "set.embedder=smollm2,minilm"]
GRID = ["noise.error=0.05,0.2,0.38", "comparisons.n=500,1000,2000"]
CELL = ("set.policy", "set.reward", "set.embedder", "noise.error", "comparisons.n")
LEVEL = 0.05


def finding(recipes: Mapping[str, str], grid: Sequence[str]) -> Finding:
    """One claim stands for the many that are judged below: a finding cannot be without."""
    claim = Claim(statement="recipes", plus=[{"arm": [LINEAR]}], minus=[{"arm": [MLP]}], smallest=0.05)
    words = {"title": "Recipes", "question": "", "claim": "", "source": ""}
    fixed = ["noise=logistic", "pairing=same_prompt"]
    return Finding(name="recipes", fixed=fixed, arms=dict(recipes), grid=list(grid), claims=[claim], **words)


def run(recipes: Mapping[str, str], args: argparse.Namespace) -> tuple[list[Member], CellValues, float]:
    """-> the members of all cells, their values, and the hours of one core that they took."""
    setups, grid = (SETUPS, GRID) if not args.quick else ([], ["noise.error=0.2", "comparisons.n=500"])
    overrides = ["experiment=embedding_set", f"input={args.set}", f"out={args.out}", f"seed={args.seeds}"]
    node = plan_study([finding(recipes, grid)], [*overrides, *setups], args.workers)
    sweep = node.inputs["sweep"]
    print(f"{len(sweep.sweep_grid.cells):,} cells, {len(sweep.sweep_grid.left):,} to run", flush=True)
    [*_, done] = run_nodes(in_order(sweep), command_line())
    results = done.artifact.read("results").to_pandas()
    values = CellValues(results, done.artifact.read("cell_prompts").to_pandas())
    described = node.config["findings"]["recipes"]["members"]
    hours = float(results["seconds"].sum()) / 3600
    return [Member(**m) for m in described], values, hours


@dataclass(frozen=True)
class Table:
    """[cells, seeds, prompts] best of all, of each recipe; NaN where a cell failed."""

    cells: list[tuple[str, ...]]
    seeds: list[str]
    values: dict[str, np.ndarray]

    @classmethod
    def of(cls, members: Sequence[Member], values: CellValues, recipes: Sequence[str]) -> Table:
        where = {(m.axes["arm"], _cell(m), m.axes["seed"]): m.cell for m in members}
        cells = list(dict.fromkeys(_cell(m) for m in members))
        seeds = list(dict.fromkeys(m.axes["seed"] for m in members))
        n, done = values.n_prompts, set(values.prompts["cell"])
        found = {}
        for recipe in recipes:
            of = np.full((len(cells), len(seeds), n), np.nan)
            for (i, cell), (j, seed) in ((a, b) for a in enumerate(cells) for b in enumerate(seeds)):
                known = where[recipe, cell, seed]
                if known in done:
                    of[i, j] = values.of(known, "best_of_largest")
            found[recipe] = of
        return cls(cells, seeds, found)


def _cell(member: Member) -> tuple[str, ...]:
    return (*member.setup.split(" · "), *(member.axes.get(axis, "-") for axis in CELL[3:]))


def compare(table: Table, default: str, rival: str) -> pd.DataFrame:
    """A row a cell: the mean difference and its one-sided p-value of no gain, over seeds and prompts."""
    rows = []
    for i, cell in enumerate(table.cells):
        d = table.values[rival][i] - table.values[default][i]
        d = d[~np.isnan(d).any(axis=1)]
        if len(d) < 2:
            rows.append({"cell": cell, "gain": np.nan, "p": 1.0})
            continue
        variance, df = variance_of_mean(d)
        gain = float(d.mean())
        p = float(stats.t.sf(gain / np.sqrt(variance), df)) if variance > 0 else float(gain <= 0)
        rows.append({"cell": cell, "gain": gain, "p": p})
    return pd.DataFrame(rows)


def holm(p: np.ndarray) -> np.ndarray:
    """Which hypotheses are rejected with at most 5 % chance of any false rejection (Holm 1979)."""
    order = np.argsort(p)
    allowed = LEVEL / (len(p) - np.arange(len(p)))
    first_kept = np.flatnonzero(p[order] > allowed)
    rejected = np.zeros(len(p), dtype=bool)
    rejected[order[: first_kept[0] if len(first_kept) else len(p)]] = True
    return rejected


def judged(table: Table, default: str) -> pd.DataFrame:
    """Every rival against a default in every cell, with Holm's correction over all of these."""
    frames = [compare(table, default, r).assign(rival=r) for r in table.values if r != default]
    found = pd.concat(frames, ignore_index=True)
    return found.assign(better=holm(found["p"].to_numpy()))


def pooled(table: Table, default: str, rival: str) -> tuple[float, float]:
    """The 95 % interval of the mean gain over all cells, over set-ups, seeds and prompts."""
    setups = list(dict.fromkeys(cell[:3] for cell in table.cells))
    gain = table.values[rival] - table.values[default]
    by_setup = [np.nanmean(gain[[cell[:3] == s for cell in table.cells]], axis=0) for s in setups]
    found = effect(np.stack(by_setup), np.random.default_rng(0), 2000)
    return found.low, found.high


def summary(found: pd.DataFrame, table: Table, default: str) -> pd.DataFrame:
    """By rival: its mean gain over the default, and in how many cells it is ahead, and surely better."""
    by = found.groupby("rival")
    rows = pd.DataFrame(
        {
            "mean gain": by["gain"].mean(),
            "low": {r: pooled(table, default, r)[0] for r in by.groups},
            "high": {r: pooled(table, default, r)[1] for r in by.groups},
            "worst": by["gain"].min(),
            "best": by["gain"].max(),
            "cells ahead": by["gain"].agg(lambda g: int((g > 0).sum())),
            "cells better (Holm)": by["better"].sum(),
        }
    )
    return rows.rename_axis("rival").sort_values("mean gain", ascending=False)


def by_axis(table: Table, recipes: Sequence[str], axis: str) -> pd.DataFrame:
    """Mean best of all of each recipe at each value of an axis."""
    k = CELL.index(axis)
    labels = list(dict.fromkeys(cell[k] for cell in table.cells))
    columns = {}
    for label in labels:
        here = [i for i, cell in enumerate(table.cells) if cell[k] == label]
        columns[label] = [float(np.nanmean(table.values[r][here])) for r in recipes]
    return pd.DataFrame(columns, index=list(recipes))


def seconds(members: Sequence[Member], values: CellValues, recipes: Sequence[str]) -> pd.Series:
    """Mean seconds of a fit on one thread."""
    took = values.results.set_index("cell")["fit_seconds"]
    return pd.Series({r: took[[m.cell for m in members if m.axes["arm"] == r]].mean() for r in recipes})


def show(frame: pd.DataFrame, title: str) -> None:
    print(f"\n{title}")
    print(frame.to_string(float_format=lambda x: f"{x:.3f}"))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", default="data/released/openings-smollm2")
    parser.add_argument("--seeds", default="100,101,102", help="as in a sweep: 100,101 or range(100,105)")
    parser.add_argument("--recipe", nargs="*", default=[], help="some of the recipes, by name; default: all")
    parser.add_argument("--also", nargs="*", default=[], metavar="NAME=OVERRIDES", help="recipes of your own")
    parser.add_argument("--workers", type=int, default=available_cores())
    parser.add_argument("--json", type=Path, help="where the tables are written, too")
    parser.add_argument("--quick", action="store_true", help="one set-up, noise level and budget")
    args = parser.parse_args()
    own = dict(text.split("=", 1) for text in args.also)
    recipes = {**{n: o for n, o in RECIPES.items() if not args.recipe or n in args.recipe}, **own}
    recipes = {**{n: RECIPES[n] for n in DEFAULTS.values()}, **recipes}
    started = time.perf_counter()
    members, values, hours = run(recipes, args)
    table = Table.of(members, values, list(recipes))
    print(f"{hours:.2f} hours of a core in all, {time.perf_counter() - started:,.0f} s now")
    show(pd.DataFrame({"seconds a fit": seconds(members, values, list(recipes))}), "Time")
    for axis in CELL:
        show(by_axis(table, list(recipes), axis), f"Best of all in deviations, by {axis}")
    beaten, document = [], {}
    for setting, default in DEFAULTS.items():
        found = judged(table, default)
        shown = summary(found, table, default)
        show(shown, f"Against {setting} ({default})")
        beaten += [(setting, rival) for rival in shown.index[shown["cells better (Holm)"] > 0]]
        document[setting] = json.loads(shown.reset_index().to_json(orient="records"))
    print("\nBetter than a default in some cell, by Holm over all cells and rivals:", beaten or "none")
    if args.json:
        args.json.write_text(json.dumps(document, indent=2, ensure_ascii=False), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
