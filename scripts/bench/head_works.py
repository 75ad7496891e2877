"""Works in memory: fitting heads, drawing pairs, the best-of-N curve."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from naive import Fit, best_of_n, draw_pairs, fit_mlp_ensemble
from sizes import Sizes
from study_sets import in_memory

from rmlab.comparisons import Comparisons, Pool
from rmlab.heads.base import FitData, RewardHead
from rmlab.heads.ensemble import Ensemble
from rmlab.heads.linear import Linear
from rmlab.heads.mlp import Mlp
from rmlab.losses.pairs import BradleyTerry, Classification
from rmlab.metrics.accuracy import pairwise_accuracy
from rmlab.metrics.among_n import best_of_n as exact_best_of_n
from rmlab.metrics.intervals import interval
from rmlab.metrics.order import ScoreOrder
from rmlab.noise.logistic import Logistic
from rmlab.pairing.across_prompts import CrossPrompt

SEED = 0
STUDY_MLP = Mlp(
    hidden=[1024, 512],
    dropout=0.1,
    weight_decay=0.01,
    learning_rate=1e-3,
    epochs=30,
    batch_size=256,
    patience=2,
    zero_output=False,
)


@dataclass(frozen=True)
class Data:
    """x: [m, d]; the first prompts are compared, the last `held_out` rows judged."""

    x: np.ndarray
    golden: np.ndarray
    group: np.ndarray
    train: Comparisons
    validation: Comparisons
    judged: slice

    def accuracy(self, scores: np.ndarray) -> np.ndarray:
        """[P] held-out order accuracy of each prompt."""
        return pairwise_accuracy(ScoreOrder.flat(scores, self.golden[self.judged], self.group[self.judged]))


def make_data(sizes: Sizes) -> Data:
    """The comparisons of both sides: a fifth is among prompts of its own, for validation."""
    pool, n = sizes.pool
    x, golden = in_memory(pool + sizes.held_out, n, sizes.d, SEED)
    rows, values, group = x.reshape(-1, sizes.d), golden.ravel(), np.repeat(np.arange(len(golden)), n)
    cut, n_train = int(0.8 * pool) * n, int(0.8 * sizes.comparisons)
    train = _compare(values, group, slice(0, cut), n_train)
    validation = _compare(values, group, slice(cut, pool * n), sizes.comparisons - n_train)
    return Data(rows, values, group, train, validation, slice(pool * n, len(rows)))


def _compare(golden: np.ndarray, group: np.ndarray, rows: slice, n: int) -> Comparisons:
    pool, rng = Pool(golden[rows], group[rows]), np.random.default_rng([SEED, rows.start])
    answered = Logistic(beta=1.0, scale=1.0)(CrossPrompt()(pool, n, rng), pool, rng)
    return replace(answered, items=answered.items + rows.start)


def bench_fits(sizes: Sizes, folder: Path) -> dict[str, float]:
    data = make_data(sizes)
    naive = _fit_naively(data, sizes)
    print(
        f"naive: {sizes.members} members in {naive.seconds:.1f} s, epochs {naive.epochs}, "
        f"{naive.gflops:.0f} GFLOP/s"
    )
    theirs = data.accuracy(_mean_score(naive, data.x[data.judged]))
    _show("naive ensemble", theirs)
    fit_data = FitData(data.x, data.train, data.validation)
    started = time.perf_counter()
    ensemble, log = Ensemble(STUDY_MLP, sizes.members, resample=False).fit(fit_data, BradleyTerry(), SEED)
    ours_seconds = time.perf_counter() - started
    epochs = [value for name, value in log.chosen.items() if name.endswith("epoch")]
    print(f"ours: {sizes.members} members in {ours_seconds:.1f} s, best epochs {epochs}")
    ours = data.accuracy(_ensemble_score(ensemble, data))
    _show("our ensemble", ours)
    _show_difference("our ensemble less naive", ours, theirs)
    linear_seconds = _best_linear(fit_data, data, theirs)
    one = naive.seconds / sizes.members
    print(f"linear against one naive member: {one / linear_seconds:.0f} times; fit_linear is against that")
    return {"fit_mlp": naive.seconds / ours_seconds, "fit_linear": one / linear_seconds}


def _fit_naively(data: Data, sizes: Sizes) -> Fit:
    """The same answers, shown in an order that a coin decides."""
    items = np.concatenate([data.train.items, data.validation.items])
    coin = np.random.default_rng(SEED).random(len(items)) < 0.5
    left, right = (np.where(coin, items[:, k], items[:, 1 - k]) for k in (0, 1))
    label = coin.astype(np.float32)
    return fit_mlp_ensemble(data.x[left], data.x[right], label, sizes.members, sizes.epochs, seed=SEED)


@torch.no_grad()
def _mean_score(naive: Fit, x: np.ndarray) -> np.ndarray:
    scores = [model(torch.from_numpy(x)).squeeze(1).numpy().astype(np.float64) for model in naive.members]
    return np.mean([(s - s.mean()) / s.std() for s in scores], axis=0)


def _ensemble_score(head: RewardHead, data: Data) -> np.ndarray:
    judged = data.x[data.judged]
    return head.normalised(judged).score(judged)


def _best_linear(fit_data: FitData, data: Data, theirs: np.ndarray) -> float:
    """Seconds, the median of three, of the better of Bradley-Terry and classification."""
    found = []
    for loss in (BradleyTerry(), Classification()):
        times = []
        for _ in range(3):
            started = time.perf_counter()
            head, log = Linear().fit(fit_data, loss, SEED)
            times.append(time.perf_counter() - started)
        seconds = sorted(times)[1]
        accuracy = data.accuracy(head.score(data.x[data.judged]))
        name = f"linear {type(loss).__name__}"
        print(f"{name}: {seconds:.2f} s, l2={log.chosen['l2']:g}, converged: {log.converged}")
        _show(name, accuracy)
        found.append((float(np.nanmean(accuracy)), seconds, accuracy, name))
    _, seconds, accuracy, name = max(found, key=lambda f: f[0])
    _show_difference(f"{name} less naive ensemble", accuracy, theirs)
    return seconds


def _show(name: str, accuracy: np.ndarray) -> None:
    mean, low, high = interval(accuracy, np.random.default_rng(SEED), 2000)
    print(f"{name}: held-out order accuracy {mean:.4f} [{low:.4f}, {high:.4f}]", flush=True)


def _show_difference(name: str, a: np.ndarray, b: np.ndarray) -> None:
    mean, low, high = interval(a - b, np.random.default_rng(SEED), 2000)
    print(f"{name}: {mean:+.4f} [{low:+.4f}, {high:+.4f}], paired over prompts", flush=True)


def bench_pairs(sizes: Sizes, folder: Path) -> dict[str, float]:
    """Theirs gathers both embeddings of a pair; ours keeps the rows and gathers once, in the fit."""
    (prompts, d), rng = sizes.pairs_of, np.random.default_rng(SEED)
    x, golden = in_memory(prompts, 10, d, SEED)
    naive = sizes.naive_pairs / draw_pairs(x, golden, sizes.naive_pairs, rng).seconds
    indices = sizes.naive_pairs / draw_pairs(x, golden, sizes.naive_pairs, rng, indices_only=True).seconds
    golden = rng.normal(size=400_000)
    big = Pool(golden, np.repeat(np.arange(40_000), 10))
    best = 0.0
    for _ in range(3):
        started = time.perf_counter()
        Logistic(beta=1.0)(CrossPrompt()(big, sizes.our_pairs, rng), big, rng)
        best = max(best, sizes.our_pairs / (time.perf_counter() - started))
    print(
        f"naive: {naive:,.0f} pairs/s ({indices:,.0f} without gathering embeddings); "
        f"ours: {best:,.0f} pairs/s, {best / indices:.0f} times the loop that gathers nothing"
    )
    return {"pairs": best / naive}


def bench_best_of_n(sizes: Sizes, folder: Path) -> dict[str, float]:
    """Theirs: ten values of N, 100 resamplings each; ours: every N, exactly."""
    (prompts, k), rng = sizes.best_of_n, np.random.default_rng(SEED)
    golden = rng.normal(size=(prompts, k))
    scores = golden + rng.normal(size=(prompts, k))
    ns = [1, 2, 4, 8, 16, 32, 64, 128, 256, k]
    naive = best_of_n(scores, golden, ns, 100, rng)
    times = []
    for _ in range(3):
        started = time.perf_counter()
        order = ScoreOrder.flat(scores.ravel(), golden.ravel(), np.repeat(np.arange(prompts), k))
        exact = exact_best_of_n(order, range(1, k + 1))
        times.append(time.perf_counter() - started)
    error = np.abs(naive.values.mean(axis=0) - exact[:, [n - 1 for n in ns]].mean(axis=0)).max()
    print(
        f"naive: {naive.seconds:.2f} s for {len(ns)} values of N; ours: {min(times):.3f} s for all {k}; "
        f"largest difference of the two curves {error:.4f} (resampling noise)"
    )
    return {"best_of_n": naive.seconds / min(times)}
