"""A made-up sweep with planted effects: tables as a sweep writes them, and the members of a finding."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from rmlab.storage.sweep_schema import PROMPT_METRICS
from rmlab.study.finding import Finding
from rmlab.study.plan import Member
from rmlab.study.values import CellValues

DEVIATION, MEAN = 2.0, 1.0  # of the golden reward
SLOPE, INTERCEPT = 0.5, 0.25  # golden reward by a head's score


def finding(claims: list[dict], name: str = "planted", **more) -> Finding:
    words = {"title": f"Title of {name}", "question": "Which?", "claim": "That one.", "source": "A study"}
    arms = {"arms": {"a": "head=linear", "b": "head=mlp", "c": "head=trees"}}
    return Finding.model_validate({"name": name, **words, **arms, "claims": claims, **more})


def claim(statement: str = "a beats b", **more) -> dict:
    return {"statement": statement, "plus": [{"arm": "a"}], "minus": [{"arm": "b"}], "smallest": 0.1, **more}


def sweep(
    effects: Mapping[str, float],
    n_seeds: int = 5,
    n_prompts: int = 200,
    noise: float = 0.02,
    failed: tuple[str, ...] = (),
    margins: Mapping[str, float] | None = None,
    seed: int = 0,
    errors: Mapping[str, float] | None = None,
    setups: Mapping[str, float] | None = None,
) -> tuple[CellValues, list[Member]]:
    """effects: arm -> its best-of-N over the common one of each prompt, in deviations of the golden reward.

    setups: name -> factor of effects there; the golden reward of the k-th has k times the deviation.
    """
    rng = np.random.default_rng(seed)
    prompts = [f"p{i:04d}" for i in range(n_prompts)]
    common = rng.normal(size=n_prompts)
    results, tables, members = [], [], []
    for k, (setup, factor) in enumerate((setups or {"": 1.0}).items()):
        unit, data = DEVIATION * (1 + k), f"x{k}"
        for arm, effect in effects.items():
            for s in range(n_seeds):
                cell = f"{arm}-{s}-{data}"
                members.append(Member({"arm": arm, "seed": str(s)}, cell, data, setup))
                state = "failed" if arm in failed else "ok"
                row = _row(cell, "head", state, (margins or {}).get(arm, 1.0), unit)
                results.append(row | {"error_rate": (errors or {}).get(arm, 0.2)})
                if state == "ok":
                    values = common + factor * effect + noise * (rng.normal(size=n_prompts) + rng.normal())
                    tables.append(_prompts(cell, prompts, values, unit))
        for control in ("random", "oracle"):
            results.append(_row(f"{control}-{data}", control, "ok", np.nan, unit))
            tables.append(_prompts(f"{control}-{data}", prompts, common + (control == "oracle"), unit))
    return CellValues(pd.DataFrame(results), pd.concat(tables, ignore_index=True)), members


def _row(cell: str, kind: str, state: str, margin: float, unit: float) -> dict:
    is_bad = state == "failed"
    return {
        "cell": cell,
        "kind": kind,
        "state": state,
        "reason": "no <b>trees</b> here" if is_bad else None,
        "mean_margin": margin * unit,
        "error_rate": 0.2,
        "n_comparisons": 100.0,
        "n_flagged": 10.0 if cell.startswith("a-") else np.nan,
        "flagged_precision": 0.5,
        "flagged_recall": 0.25,
        "test_golden_mean": np.nan if is_bad else MEAN,
        "test_golden_deviation": np.nan if is_bad else unit,
        "test_largest_n": np.nan if is_bad else 32.0,
        "proxy_slope": SLOPE,
        "proxy_intercept": INTERCEPT,
    }


def _prompts(cell: str, prompts: list[str], values: np.ndarray, unit: float) -> pd.DataFrame:
    frame = pd.DataFrame({"cell": cell, "prompt_id": prompts})
    for metric in PROMPT_METRICS:
        frame[metric] = np.nan if metric.endswith(("_64", "_256")) else np.float32(values * unit + MEAN)
    return frame
