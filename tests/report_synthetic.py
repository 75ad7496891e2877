"""A made-up experiment for the report: golden rewards are normal, a head's score is golden plus noise."""

from __future__ import annotations

from math import comb, log
from typing import Any

import numpy as np
import pandas as pd

from rmlab.report.content import ComparisonDesign, ReportContent, StageRow

HEADS = {"mlp_bt": 0.6, "a$b<i>": 1.4}  # name: how much noise
CONTROLS = {"oracle": 0.0, "random": 1e9, "length": 3.0, "copying": 5.0, "golden_regression": 0.4}
VERSIONS = {"python": "3.11.7", "torch": "2.13.0", "rmlab": "0.1.0"}


def simulate(heads: dict[str, float], n_prompts: int, n_responses: int, ns: list[int]) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    tables: dict[str, list] = {"metrics": [], "curves": [], "scores": [], "calibration": [], "paired": []}
    for split in ("validation", "test"):
        golden = 0.3 + 0.2 * rng.normal(size=(n_prompts, 1)) + 0.4 * rng.normal(size=(n_prompts, n_responses))
        best = {}
        for arm, noise in {**heads, **CONTROLS}.items():
            kind = "head" if arm in heads else "control"
            score = golden + noise * rng.normal(size=golden.shape)
            curve = [_best_of(score, golden, n) for n in ns]
            best[arm] = curve[-1]
            for n, values in zip(ns, curve, strict=True):
                row = {"arm": arm, "kind": kind, "split": split, "n": n, "kl": log(n) - (n - 1) / n}
                row |= {"golden_mean": golden.mean(), "golden_deviation": golden.std()}
                own = _best_of(score, (score - score.mean()) / score.std(), n)
                proxy = {f"proxy_{k}".removesuffix("_value"): v for k, v in _interval(own).items()}
                del proxy["proxy_n_prompts"]
                proxy = proxy if kind == "head" else dict.fromkeys(proxy, np.nan)
                tables["curves"].append(row | _interval(values) | proxy)
            tables["metrics"] += _metrics(
                arm, kind, split, ns[-1], best=curve[-1], score=score, golden=golden
            )
            if kind == "head":
                tables["scores"] += _scores(arm, split, score, golden)
                tables["calibration"] += _calibration(arm, split, noise)
        names = list(best)
        tables["paired"] += [
            {"arm": a, "other": b, "split": split, "metric": metric, "n": n}
            | _interval(sign * (best[a] - best[b]))
            for i, a in enumerate(names)
            for b in names[i + 1 :]
            for metric, n, sign in (("best_of_n", ns[-1], 1), ("spearman", 0, -9))
        ]
    return {name: pd.DataFrame(rows) for name, rows in tables.items()}


def _best_of(score: np.ndarray, golden: np.ndarray, n: int) -> np.ndarray:
    """Expected golden of the first of n, for each prompt."""
    m = golden.shape[1]
    ranked = np.take_along_axis(golden, np.argsort(score, axis=1), axis=1)
    return ranked @ np.array([comb(k, n - 1) / comb(m, n) for k in range(m)])


def _interval(values: np.ndarray) -> dict[str, float]:
    error = 1.96 * values.std() / np.sqrt(len(values))
    mean = values.mean()
    return {"value": mean, "low": mean - error, "high": mean + error, "n_prompts": len(values)}


def _metrics(
    arm: str, kind: str, split: str, n: int, *, best: np.ndarray, score: np.ndarray, golden: np.ndarray
) -> list:
    rho = np.array([np.corrcoef(s, g)[0, 1] for s, g in zip(score, golden, strict=True)])
    noise = np.random.default_rng(1).normal(size=len(rho))
    of = {
        "selected_quantile": 0.5 + rho / 4,
        "spearman": rho,
        "kendall": 0.7 * rho,
        "accuracy": 0.5 + rho / 3,
        "length_spearman": 0.1 + 0.3 * noise,
    }
    if kind == "head":
        of["ece_annotators"] = 0.05 + 0.01 * noise
    shared = {"arm": arm, "kind": kind, "split": split}
    return [shared | {"metric": "best_of_n", "n": n} | _interval(best)] + [
        shared | {"metric": name, "n": 0} | _interval(values) for name, values in of.items()
    ]


def _scores(arm: str, split: str, score: np.ndarray, golden: np.ndarray) -> list:
    score = (score - score.mean()) / score.std()
    return [
        {"arm": arm, "prompt_id": f"{split}-p{i}", "response_id": f"{split}-p{i}-r{j}", "split": split}
        | {"score": score[i, j], "golden": golden[i, j]}
        for i, j in np.ndindex(*score.shape)
    ]


def _calibration(arm: str, split: str, noise: float) -> list:
    predicted = np.linspace(0.53, 0.97, 10)
    observed = 0.5 + (predicted - 0.5) / (0.7 + 0.4 * noise)
    counts = (4000 * np.exp(-4 * (predicted - 0.5))).astype(int)
    shared = {"arm": arm, "split": split}
    values = zip(range(10), predicted, observed.clip(0, 1), counts, strict=True)
    return [shared | dict(zip(("bin", "predicted", "observed", "count"), v, strict=True)) for v in values]


def _texts(scores: pd.DataFrame, text: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = scores.drop_duplicates("response_id")[["prompt_id", "response_id", "split"]].reset_index(drop=True)
    rows = rows.assign(text=text, finish_reason="stop", n_tokens=12)
    rows.loc[rows.index % 9 == 0, "finish_reason"] = "length"
    prompts = rows.drop_duplicates("prompt_id")[["prompt_id", "split"]]
    message = [{"role": "user", "content": "Tell me about the sea."}]
    return rows, prompts.assign(messages=[message] * len(prompts))


def design(
    arm: str, pairing: str = "same_prompt", prob: float | None = None, **metrics: Any
) -> ComparisonDesign:
    """400 comparisons of a logistic annotator, or all of one probability."""
    gap = np.random.default_rng(len(pairing)).exponential(size=400)
    p = 1 / (1 + np.exp(-gap)) if prob is None else np.full(400, prob)
    count, edges = np.histogram(p * (1 - p), 20, (0, 0.25))
    labels = {"n": 400, "n_ties": 12, "error_rate": (1 - p).mean(), "mean_margin": gap.mean()}
    labels |= {"label_variance_mean": (p * (1 - p)).mean()}
    config = {
        "pairing": {"_name_": pairing, "choice": "random"},
        "noise": {"_name_": "logistic", "beta": 1.0, "error": None},
        "selection": {"_name_": "uniform"},
        "comparisons": {"n": 400, "rounds": 1},
    }
    shared = {"train_labels": labels, "converged": True, "chosen": {"l2": 0.1, "iterations": 5}}
    variance = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "count": count})
    return ComparisonDesign(arm, config, {**shared, **metrics}, variance)


def make(
    heads: dict[str, float] = HEADS, n_prompts: int = 12, n_responses: int = 8, ns: list[int] | None = None,
    text: str = "Waves, salt and\n\nwind.", **changes: Any,
) -> ReportContent:  # fmt: skip
    tables = simulate(heads, n_prompts, n_responses, ns or [1, 2, 4, 8])
    responses, prompts = _texts(tables["scores"], text)
    known = responses.drop_duplicates("response_id").set_index("response_id")
    steps = np.arange(0, 200, 5)
    log_ = pd.DataFrame(
        {"step": steps, "epoch": steps / 100, "split": "train", "loss": 3 * np.exp(-steps / 90)}
    )
    held = log_[log_["step"] % 50 == 0].assign(split="validation", loss=lambda d: d["loss"] + 0.2)
    values: dict[str, Any] = {
        "title": "Which head picks the friendliest reply?",
        "experiment": "sentiment_demo",
        "chosen": next(iter(heads)),
        "verdict": ["The chosen head gains 0.31 [0.27, 0.35] over a random choice."],
        "config_yaml": "seed: 0\nhead:\n  name: mlp\n",
        "commands": ["rmlab run experiment=sentiment_demo", "rmlab report"],
        "stages": [
            StageRow("sample", "smollm2", 192, 75.2, "0123456789abcdef" * 4, {"dropped_prompts": 3}),
            StageRow(
                "fit_rm", "mlp_bt", 400, 8.3, "f" * 64, {"ties": 12}, ["12 of 400 comparisons were ties"]
            ),
        ],
        "responses": responses.drop(columns=["response_id", "text"]),
        "texts": lambda ids: known[known.index.isin(ids)],
        "prompts": prompts,
        "head_scores": tables.pop("scores"),
        "sft_log": pd.concat([log_, held]),
        "versions": VERSIONS,
        "git": {"commit": "c" * 40, "dirty": True, "branch": None},
        "created": "2026-11-20T12:00:00Z",
        "designs": [design(name) for name in heads],
    }
    return ReportContent(**{**values, **tables, **changes})
