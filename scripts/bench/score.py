"""`rmlab score` beside `rmlab embed` on the same texts, in one run: python scripts/bench/score.py [--quick].

Preference pairs are cut from the shipped embedding set and imported, so that both commands read the same
texts by the same model, and load it anew each time. They take turns, and each counts with its fastest time.
Tokens are those of the responses. The last line is one JSON object: tokens/s of each, and their ratio.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from rmlab.cli import app
from rmlab.storage.artifact import open_artifact

ROOT = Path(__file__).parents[2]
SET = ROOT / "data" / "released" / "openings-smollm2"
EMBEDDERS = {
    "minilm": ["embedder=sentence"],
    "smollm2": ["embedder=transformers", "embedder.model=smollm2-135m-q4"],
}
PAIRS = {"minilm": 2000, "smollm2": 150}  # the language model takes half an hour for 2,000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="200 pairs and MiniLM alone, under a minute")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each command")
    given = parser.parse_args()
    found = {}
    for name, n in {"minilm": 200}.items() if given.quick else PAIRS.items():
        with tempfile.TemporaryDirectory() as folder:
            found |= measured(name, Path(folder), n, given.repeats)
    print(json.dumps({key: float(f"{value:.4g}") for key, value in found.items()}))


def measured(name: str, folder: Path, n: int, repeats: int) -> dict[str, float]:
    source = folder / "pairs.jsonl"
    write_pairs(source, n)
    imported = [
        "experiment=imported",
        f"input={source}",
        f"out={folder / 'artifacts'}",
        *EMBEDDERS[name],
        "arms=['head=linear']",
        f"comparisons.n={n // 4}",
        f"comparisons.n_validation={n // 10}",
    ]
    for stage in ("sample", "annotate", "embed", "fit-rm"):
        called(stage, *imported)
    (embedded,) = (folder / "artifacts" / "embed").glob("[!.]*")
    (fit,) = (folder / "artifacts" / "fit_rm").glob("[!.]*")
    out = folder / "scores.parquet"
    again = ("embed", "--force", *imported)
    scoring = ("score", str(source), "--head", str(fit), "--out", str(out))
    times: dict[str, list[float]] = {"embed": [], "score": []}
    for _ in range(repeats):
        times["embed"].append(seconds(lambda: called(*again)))
        times["score"].append(seconds(lambda: called(*scoring)))
    tokens = open_artifact(embedded).manifest.counts["response_tokens"]
    scored = pq.read_table(out)
    if open_artifact(embedded).manifest.rows != scored.num_rows:
        raise SystemExit("the two commands did not read the same texts")
    if (theirs := int(np.sum(scored["n_tokens"].to_numpy()))) != tokens:
        raise SystemExit(f"embed counts {tokens} tokens, score {theirs}")
    rates = {command: tokens / min(taken) for command, taken in times.items()}
    ratio = rates["score"] / rates["embed"]
    print(
        f"{name}: {scored.num_rows:,} texts, {tokens:,} tokens; embed {rates['embed']:,.0f} tokens/s, "
        f"score {rates['score']:,.0f} tokens/s: {ratio:.3f} of embed's"
    )
    return {f"{name}_embed": rates["embed"], f"{name}_score": rates["score"], f"{name}_ratio": ratio}


def write_pairs(path: Path, n: int) -> None:
    """Writes n preference pairs of different responses: the one with the higher golden reward is chosen."""
    prompts = pq.read_table(SET / "prompts.parquet").to_pylist()
    texts = {row["prompt_id"]: row["messages"][-1]["content"] for row in prompts}
    scores = pq.read_table(SET / "scores-base.parquet", filters=[("reward", "=", "sentiment")])
    golden = dict(zip(scores["response_id"].to_pylist(), scores["score"].to_pylist(), strict=True))
    waiting: dict[str, dict] = {}
    seen = set()
    pairs = []
    for row in pq.read_table(SET / "responses-base.parquet").to_pylist():
        if not row["text"].strip() or (row["prompt_id"], row["text"]) in seen:
            continue
        seen.add((row["prompt_id"], row["text"]))
        other = waiting.pop(row["prompt_id"], None)
        if other is None:
            waiting[row["prompt_id"]] = row
        elif golden[row["response_id"]] != golden[other["response_id"]]:
            best, worst = sorted((row, other), key=lambda r: -golden[r["response_id"]])
            pair = {"prompt": texts[row["prompt_id"]], "chosen": best["text"], "rejected": worst["text"]}
            pairs.append(json.dumps(pair))
    if len(pairs) < n:
        raise SystemExit(f"the set has {len(pairs)} pairs, fewer than {n}")
    path.write_text("\n".join(pairs[:n]) + "\n", encoding="utf-8")


def called(*arguments: str) -> None:
    app(list(arguments), standalone_mode=False)


def seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
