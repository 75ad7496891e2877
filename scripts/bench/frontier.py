"""Two objectives, one fit each: what a weighted head gets of both golden rewards, over a grid of weights.

    python scripts/bench/frontier.py SET --out DIR [--seeds 3] [--steps 5] [--head "head=linear"] [--save TO]

SET is an embedding set with two rewards or more (the first two are taken, or --rewards A,B). For each seed
and reward a head is fitted on comparisons that this reward's annotators answer. The two are one WeightedHead,
and every weight w of the second (1 - w of the first) scores the same test responses, without another fit.
Printed for each weight: the golden reward of the best of all responses to a prompt by either reward, in
standard deviations above a random choice, with 95 % intervals over prompts (the mean over seeds first); and
the same for a head that is fitted on answers by the weighted sum of the golden rewards, each in its standard
deviations: such a head needs a fit and comparisons of its own for each weight, as many as one of the two has.
--save writes the weighted head of the first seed at w = 1/2, which `rmlab.heads.fitted.load.load_head` reads.
`objectives={A:0.5,B:0.5}` is the setting that fits such a head as an arm or a cell; here each is fitted once
for all weights.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from rmlab.commands.run import command_line
from rmlab.config.hydra import load_settings
from rmlab.config.settings import Settings
from rmlab.evaluation.fit_head import fit_head
from rmlab.heads.fitted.base import NormalisedHead
from rmlab.heads.fitted.several import WeightedHead
from rmlab.metrics.among_n import best_of_n
from rmlab.metrics.intervals import Resamples
from rmlab.metrics.order import ScoreOrder
from rmlab.pipeline.chain import chain_of
from rmlab.pipeline.plan import in_order
from rmlab.pipeline.run import run_nodes
from rmlab.responses.table import Responses, read_responses
from rmlab.responses.vectors import MappedVectors, StreamedVectors, map_vectors
from rmlab.storage.set_record import open_set

HOW = ("weighted heads", "fitted anew")


@dataclass(frozen=True)
class Data:
    """The responses with the golden reward of each objective, [m] each; vectors in their order."""

    settings: dict[str, Settings]
    responses: Responses
    golden: dict[str, np.ndarray]
    vectors: MappedVectors


def read(overrides: Sequence[str], rewards: Sequence[str], work: Path) -> Data:
    """Runs what is missing before the heads."""
    settings = {reward: load_settings([*overrides, f"set.reward={reward}"]) for reward in rewards}
    found: list[Responses] = []
    for reward in rewards:
        chain = chain_of(settings[reward])
        run_nodes(in_order(chain["judge"], chain["embed"]), command_line())
        sample, embed = chain["sample"].open(), chain["embed"].open()
        found.append(read_responses(sample, chain["judge"].open(), ["train", "test"]))
    if any(responses.n_failed for responses in found):
        raise SystemExit("a reward failed on some responses; take rewards that score all of them")
    first = found[0]
    vectors = map_vectors(StreamedVectors(embed, first.ids), len(first), work / "vectors.npy")
    golden = {reward: responses.golden for reward, responses in zip(rewards, found, strict=True)}
    return Data(settings, first, golden, vectors)


def fit(data: Data, reward: str, golden: np.ndarray, seed: int) -> NormalisedHead:
    """A head on comparisons that annotators of this golden reward answer. golden: [m]."""
    train = ~data.responses.is_test
    responses = replace(data.responses, golden=golden).take(np.flatnonzero(train))
    settings = data.settings[reward].model_copy(update={"seed": seed})
    return cast(NormalisedHead, fit_head(settings, responses, data.vectors.of(train)).head)


def gains(
    scores: np.ndarray, golden: Mapping[str, np.ndarray], group: np.ndarray, largest: int
) -> np.ndarray:
    """scores: [m]; golden: [m] each; group: [m] -> [P, objectives], golden reward of the best of `largest`
    responses to a prompt less the mean of all, in standard deviations over all responses."""
    found = []
    for values in golden.values():
        random, best = best_of_n(ScoreOrder.flat(scores, values, group), (1, largest)).T
        found.append((best - random) / values.std())
    return np.stack(found, axis=1)


def standardised(golden: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """[m], the weighted sum of the golden rewards, each with mean 0 and standard deviation 1."""
    return sum(weights[name] * (v - v.mean()) / v.std() for name, v in golden.items())  # type: ignore[return-value]


def frontier(data: Data, steps: int, seeds: int, save: Path | None) -> None:
    rewards = list(data.golden)
    test = np.flatnonzero(data.responses.is_test)
    x, group = data.vectors.rows(test), data.responses.group[test]
    truth = {name: values[test] for name, values in data.golden.items()}
    largest = int(np.bincount(group)[np.unique(group)].min())
    grid = [dict(zip(rewards, (1 - w, w), strict=True)) for w in np.linspace(0, 1, steps)]
    combined, refitted = [], []  # [seeds][grid] of [P, objectives]
    for seed in range(seeds):
        heads = {name: fit(data, name, data.golden[name], seed) for name in rewards}
        head = WeightedHead(members=heads, weights=dict.fromkeys(rewards, 0.5))
        if save is not None and seed == 0:
            head.normalised(x).save(save)
        combined.append([gains(head.with_weights(w).raw(x), truth, group, largest) for w in grid])
        again = [fit(data, rewards[0], standardised(data.golden, w), seed) for w in grid]
        refitted.append([gains(one.score(x), truth, group, largest) for one in again])
    draws = Resamples.draw(len(np.unique(group)), np.random.default_rng(0), 2000)
    print(f"best of {largest}, {len(np.unique(group))} prompts, {seeds} seeds")
    print(
        "| weight of " + rewards[1] + " | " + " | ".join(f"{r}, {how}" for how in HOW for r in rewards) + " |"
    )
    print("|---" * (1 + len(HOW) * len(rewards)) + "|")
    for k, weights in enumerate(grid):
        cells = []
        for runs in (combined, refitted):
            mean, low, high = draws.intervals(np.mean([run[k] for run in runs], axis=0))
            cells += [f"{m:+.3f} [{a:+.3f}, {b:+.3f}]" for m, a, b in zip(mean, low, high, strict=True)]
        print(f"| {weights[rewards[1]]:.2f} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("set")
    parser.add_argument("--out", required=True, help="folder of artifacts")
    parser.add_argument(
        "--rewards", help="two names, such as sentiment,descriptiveness; default: the set's first"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5, help="weights from 0 to 1")
    parser.add_argument("--head", default="head=linear loss=bradley_terry", help="overrides of both heads")
    parser.add_argument("--save", type=Path, help="folder for the weighted head of the first seed")
    args = parser.parse_args()
    rewards = args.rewards.split(",") if args.rewards else open_set(Path(args.set)).names("rewards")[:2]
    if len(rewards) != 2:
        raise SystemExit("give a set with two rewards, or two names: --rewards A,B")
    overrides = ["experiment=embedding_set", f"input={args.set}", f"out={args.out}", *args.head.split()]
    with tempfile.TemporaryDirectory() as work:
        frontier(read(overrides, rewards, Path(work)), args.steps, args.seeds, args.save)


if __name__ == "__main__":
    main()
