"""What 8 bits cost: heads fitted on float32 embeddings against heads fitted on the same in 8 bits.

    python scripts/bench/int8.py FOLDER...     folders of artifacts (out=) with sample, annotate and embed
    python scripts/bench/int8.py FOLDER --seeds 10 --reward sentiment

For linear Bradley-Terry, MLP Bradley-Terry and LightGBM, on test prompts: best-of-N, Spearman and accuracy of
both, and their paired difference with a 95 % interval over prompts (each prompt the mean over seeds). Before
it: the error of the scale that sets use (largest value) beside scales cut at quantiles.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rmlab.config.hydra import load_settings
from rmlab.config.settings import Settings
from rmlab.data.scales import LARGEST, dequantise, quantise, scales
from rmlab.errors import RmlabError
from rmlab.evaluation.controls import read_surface
from rmlab.evaluation.fit_head import fit_head
from rmlab.evaluation.measure import JudgedSplit, measure
from rmlab.metrics.intervals import Resamples
from rmlab.models.compute import one_thread
from rmlab.responses.table import Responses, read_responses
from rmlab.responses.vectors import Block, Piece, StreamedVectors
from rmlab.storage.artifact import Artifact, open_artifact

HEADS = ("head=linear loss=bradley_terry", "head=mlp loss=bradley_terry", "head=trees loss=classification")
METRICS = ("best_of_n", "spearman", "accuracy")
QUANTILES = (0.9999, 0.999, 0.99)


@dataclass(frozen=True)
class InMemory:
    """Vectors of the train responses, as the fit reads them. x: [m, d]."""

    x: np.ndarray

    def rows(self, rows: np.ndarray) -> np.ndarray:
        return self.x[rows]

    def blocks(self, wanted: np.ndarray | None = None) -> Iterator[Block]:
        rows = np.arange(len(self.x)) if wanted is None else np.flatnonzero(wanted)
        yield rows, self.x[rows]

    def pieces(self, wanted: np.ndarray | None = None) -> list[Piece]:
        return [lambda: self.blocks(wanted)]

    def sample(self, wanted: np.ndarray, n: int) -> np.ndarray:
        return self.x[np.flatnonzero(wanted)[:n]]


@dataclass(frozen=True)
class Data:
    responses: Responses
    lengths: np.ndarray
    x: np.ndarray  # [m, d] float32


def newest(folder: Path, stage: str, name: str = "*") -> Artifact:
    found = []
    for path in sorted((folder / stage).glob(f"{name}-*")):
        try:
            found.append(open_artifact(path))
        except RmlabError:
            continue
    if not found:
        raise SystemExit(f"{folder} has no finished {stage} artifact")
    return max(found, key=lambda a: a.manifest.created)


def read(folder: Path, reward: str) -> Data:
    sample, annotate = newest(folder, "sample"), newest(folder, "annotate", reward)
    responses = read_responses(sample, annotate, ["train", "test"])
    lengths = read_surface(newest(folder, "prompts"), sample, responses).length
    x = StreamedVectors(newest(folder, "embed"), responses.ids).rows(np.arange(len(responses)))
    return Data(responses, lengths, x)


def show_scales(x: np.ndarray) -> None:
    """Root mean square of the error over that of the spread, and the share of values that are cut."""
    spread = np.sqrt(np.square(x - x.mean(axis=0)).mean())
    for q in (1.0, *QUANTILES):
        scale = scales(np.quantile(np.abs(x), q, axis=0))
        error = np.sqrt(np.square(x - dequantise(quantise(x, scale), scale)).mean()) / spread
        cut = (np.abs(x) > (LARGEST + 0.5) * scale).mean()
        print(f"scale at quantile {q:.4f}: error {error:.3%} of the spread, {cut:.3%} of values cut")


def per_prompt(settings: Settings, data: Data, x: np.ndarray) -> np.ndarray:
    """[P, metrics] on test prompts."""
    r = data.responses
    train, test = np.flatnonzero(~r.is_test), np.flatnonzero(r.is_test)
    head = fit_head(settings, r.take(train), InMemory(x[train])).head
    found = measure(JudgedSplit.of("test", r, test, data.lengths), head.score(x[test])).per_prompt
    return np.column_stack([found[m] for m in METRICS])


def compare(data: Data, base: list[str], seeds: int) -> None:
    scale = scales(np.abs(data.x).max(axis=0))
    stored = dequantise(quantise(data.x, scale), scale)
    print("| head | metric | float32 | int8 | int8 less float32 | 95 % interval |")
    print("|---|---|---|---|---|---|")
    for arm in HEADS:
        runs = []
        for seed in range(seeds):
            settings = load_settings([*base, *arm.split(), f"seed={seed}"])
            runs.append([per_prompt(settings, data, x) for x in (data.x, stored)])
        whole, small = np.mean(runs, axis=0)
        draws = Resamples.draw(len(whole), np.random.default_rng(0), 2000)
        mean, low, high = draws.intervals(small - whole)
        for k, metric in enumerate(METRICS):
            both = f"{np.nanmean(whole[:, k]):.4f} | {np.nanmean(small[:, k]):.4f}"
            print(
                f"| {arm} | {metric} | {both} | {mean[k]:+.4f} | {low[k]:+.4f} to {high[k]:+.4f} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--reward", default="sentiment")
    parser.add_argument("--n", type=int, default=1200, help="comparisons")
    given = parser.parse_args()
    base = [f"comparisons.n={given.n}", "comparisons.n_validation=400"]
    for folder in given.folders:
        data = read(folder, given.reward)
        print(
            f"\n{folder.name}: {len(data.x):,} responses, {data.x.shape[1]} dimensions, {given.seeds} seeds"
        )
        show_scales(data.x)
        with one_thread():
            compare(data, base, given.seeds)


if __name__ == "__main__":
    main()
