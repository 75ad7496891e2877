"""Writes official_scores.json: made-up scores, and what the benchmarks' own functions make of them.

    pip download rewardbench==0.1.4 --no-deps -d FOLDER
    python tests/suites/make_fixtures.py FOLDER

The other two are no packages: FOLDER/rm_bench.py is scripts/utils.py of the repository THU-KEG/RM-Bench, and
FOLDER/judgebench.py is utils/metrics.py of ScalerLab/JudgeBench. Only functions that score are called, and what
these files import to load models is replaced by stand-ins. Scores are small whole numbers, so that many are equal,
and some are fractions.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import sys
import types
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np

HERE = Path(__file__).parent
STAND_INS = (
    "fastchat",
    "fastchat.conversation",
    "rewardbench.models",
    "rewardbench.chattemplates",
    "rewardbench.dpo",
)


def main(folder: Path) -> None:
    for name in STAND_INS:
        sys.modules[name] = MagicMock(__path__=[], __all__=[])
    (wheel,) = folder.glob("rewardbench-0.1.4-*.whl")
    sys.path.insert(0, str(wheel))
    rng = np.random.default_rng(20261201)
    found = {
        "rewardbench": rewardbench(rng),
        "rewardbench2": [rewardbench2(rng, kind) for kind in ("whole", "tight", "odd")],
        "rm-bench": rm_bench(rng, loaded(folder / "rm_bench.py")),
        "judgebench": judgebench(rng, loaded(folder / "judgebench.py")),
    }
    text = json.dumps(found, separators=(",", ":"))
    (HERE / "official_scores.json").write_text(text.replace("},{", "},\n{") + "\n", encoding="utf-8")


def loaded(file: Path) -> types.ModuleType:
    """A module of a single file."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made_up(rng: np.random.Generator, n: int, lift: float = 0.0, n_right: int = 1) -> list[float]:
    """Scores of n answers: small whole numbers, halves and thirds; the right ones are lifted."""
    scores = rng.integers(0, 5, n) + rng.choice([0, 0, 0.5, 1 / 3], n)
    scores[:n_right] += lift
    return scores.tolist()


def rewardbench(rng: np.random.Generator) -> dict:
    import pandas as pd
    from analysis.get_benchmark_results import get_average_over_rewardbench
    from rewardbench.constants import EXAMPLE_COUNTS, SUBSET_MAPPING
    from rewardbench.utils import calculate_scores_per_section

    prior = ("anthropic_helpful", "anthropic_hhh", "shp", "summarize")
    rows = [
        {"subset": name, "scores": made_up(rng, 2, 1.0)}
        for name in (*EXAMPLE_COUNTS, *prior)
        for _ in range(int(rng.integers(2, 6)))
    ]
    results = {}
    for name in (*EXAMPLE_COUNTS, *prior):
        right = [int(row["scores"][0] > row["scores"][1]) for row in rows if row["subset"] == name]
        results[name] = sum(right) / len(right)
    core = {name: results[name] for name in EXAMPLE_COUNTS}
    some = {name: core[name] for name in ("math-prm", "hep-go", "mt-bench-easy", "alpacaeval-hard")}
    one = {"model": "m", "model_type": "t"}
    tables = (pd.DataFrame([one | core]), pd.DataFrame([one | {name: results[name] for name in prior}]))
    nothing = pd.DataFrame([{"model": "other"} | dict.fromkeys(prior, np.nan)])
    return {
        "rows": rows,
        "subsets": results,
        "sections": calculate_scores_per_section(EXAMPLE_COUNTS, SUBSET_MAPPING, core),
        "sections_of_some": calculate_scores_per_section(EXAMPLE_COUNTS, SUBSET_MAPPING, some),
        "average": float(get_average_over_rewardbench(tables[0], nothing)["average"].iloc[0]),
        "average_with_prior": float(get_average_over_rewardbench(*tables)["average"].iloc[0]),
    }


def rewardbench2(rng: np.random.Generator, kind: str) -> dict:
    from datasets import Dataset
    from rewardbench.utils import process_single_model, reroll_and_score_dataset

    rows = [
        {"id": str(k), "subset": name, "n_right": 1, "scores": made_up(rng, 4, 1.0)}
        for name in ("Factuality", "Precise IF", "Math", "Safety", "Focus")
        for k in range(5)
    ]
    for n in range(9):
        n_right = 1 if kind == "odd" and n < 3 else int(rng.integers(2, 6))
        lift = {"whole": 3.0, "tight": 6.0, "odd": 2.0}[kind]
        tied = made_up(rng, n_right + int(rng.integers(1, 7)), lift, n_right)
        if kind == "tight":
            tied[:n_right] = [7.0 + 0.25 * (n % 3) * k for k in range(n_right)]
        pair = [("ref", 1, made_up(rng, 4, lift)), ("tied", n_right, tied)]
        for of, right, scores in pair[: 1 if kind == "odd" and n == 4 else 2][
            1 if kind == "odd" and n == 5 else 0 :
        ]:
            rows.append({"id": f"{of}:{n}", "subset": "Ties", "n_right": right, "scores": scores})
    flat = [
        {"id": row["id"], "subset": row["subset"], "text": f"{i}", "scores": score}
        for row in rows
        for i, score in enumerate(row["scores"])
    ]
    sizes = [len(row["scores"]) for row in rows]
    rolled = reroll_and_score_dataset(Dataset.from_list(flat), sizes, ["text", "scores"])
    for row, result in zip(rows, rolled["results"]):
        row["results"] = float(result)
    ties = [row | {"num_correct": row["n_right"]} for row in rows if row["subset"] == "Ties"]
    subsets = {
        name: float(np.mean([row["results"] for row in rows if row["subset"] == name]))
        for name in ("Factuality", "Precise IF", "Math", "Safety", "Focus")
    }
    subsets["Ties"] = float(process_single_model(Dataset.from_list(ties))[1])
    return {"rows": rows, "subsets": subsets}


def rm_bench(rng: np.random.Generator, official: types.ModuleType) -> dict:
    domains = ("chat", "code", "math", "safety-refuse", "safety-response")
    rows = [
        {"domain": name, "score_chosen": made_up(rng, 3, 0.5, 3), "score_rejected": made_up(rng, 3)}
        for name in domains
        for _ in range(int(rng.integers(3, 8)))
    ]
    without = [{key: row[key] for key in ("score_chosen", "score_rejected")} for row in rows]
    with contextlib.redirect_stdout(io.StringIO()):
        whole = official.compute_accuracy([dict(row) for row in rows])
        one = official.compute_accuracy(without)
    return {"rows": rows, "whole": plain(whole), "without_domain": plain(one)}


def judgebench(rng: np.random.Generator, official: types.ModuleType) -> dict:
    sources = ("mmlu-pro-law", "mmlu-pro-math", "livebench-reasoning", "livebench-math", "livecodebench")
    rows = []
    for k in range(40):
        a, b = made_up(rng, 2)
        label = ("A>B", "B>A")[int(rng.integers(2))]
        free = [("A>B", "B>A", "A=B", None)[int(i)] for i in rng.integers(0, 4, 2)]
        rows.append({"source": sources[k % 5], "label": label, "scores": [a, b], "free": free})
    starts = {"knowledge": "mmlu-pro", "reasoning": "livebench-reasoning", "math": "livebench-math"}
    starts |= {"coding": "livecodebench", "accuracy": ""}
    by_scores = [
        row | {"judgments": [{"decision": d} for d in official_verdicts(*row["scores"])]} for row in rows
    ]
    freely = [row | {"judgments": [d and {"decision": d} for d in row["free"]]} for row in rows]
    return {"rows": rows} | {
        name: {
            of: official.compute_final_metrics(
                pairs, True, lambda pair, start=start: pair["source"].startswith(start)
            )
            for of, start in starts.items()
        }
        for name, pairs in (("by_scores", by_scores), ("free", freely))
    }


def official_verdicts(a: float, b: float) -> tuple[str, str]:
    """As the reward models of utils/judges.py answer: the second order is (b, a), and equal scores are B>A."""
    return ("A>B" if a > b else "B>A"), ("A>B" if b > a else "B>A")


def plain(found: dict) -> dict[str, float]:
    return {key: float(value) for key, value in found.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
