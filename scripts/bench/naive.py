"""The study's plain way, rewritten: a loop over pairs, a siamese MLP in torch, best-of-N by resampling.

What another implementation is measured against. It keeps the study's choices (mirrored pairs split at
random, a batch redrawn at each step, the last weights kept, members one after another) and adds no slowness
of its own: torch uses every core.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from torch import nn

WIDTHS = (1024, 512)
MEMORY_GIB = 20.0


class Pairs(NamedTuple):
    """left, right: float32 [n, d], or int64 [n, 2] (prompt, response) where only indices are asked for."""

    left: np.ndarray
    right: np.ndarray
    label: np.ndarray  # float32 [n], 1 where left was preferred
    seconds: float


class Fit(NamedTuple):
    members: list[nn.Sequential]
    seconds: float
    epochs: list[int]  # run by each member
    gflops: float  # fwd + bwd of training and fwd of validation, per second of the whole fit


class Scores(NamedTuple):
    response_id: np.ndarray
    scores: np.ndarray  # float32 [rows, members]
    seconds: float
    read_seconds: float  # Parquet to a float32 matrix
    gflops: float  # of the forward passes alone
    whole: bool  # read at once, or by row group because memory would not do


class BestOfN(NamedTuple):
    values: np.ndarray  # [P, len(ns)]
    seconds: float


def draw_pairs(
    x: np.ndarray,
    golden: np.ndarray,
    n_pairs: int,
    rng: np.random.Generator,
    beta: float = 1.0,
    indices_only: bool = False,
    same_prompt: bool = False,
) -> Pairs:
    """One pair at a time: two responses, P(left preferred) = sigma(beta (r_left - r_right)), both embeddings.

    x: [P, n, d], golden: [P, n]. The study's released code draws across prompts, hence the default.
    """
    started = time.perf_counter()
    n_prompts, n = golden.shape
    left: list[Any] = []
    right: list[Any] = []
    label: list[bool] = []
    while len(label) < n_pairs:
        p, i, j = rng.integers(n_prompts), rng.integers(n), rng.integers(n)
        q = p if same_prompt else rng.integers(n_prompts)
        if p == q and i == j:
            continue
        gap = beta * (golden[p, i] - golden[q, j])
        label.append(rng.random() < 0.5 * (1 + math.tanh(0.5 * gap)))
        left.append((p, i) if indices_only else x[p, i])
        right.append((q, j) if indices_only else x[q, j])
    kind = np.int64 if indices_only else np.float32
    arrays = (np.array(left, dtype=kind), np.array(right, dtype=kind), np.array(label, dtype=np.float32))
    return Pairs(*arrays, seconds=time.perf_counter() - started)


def make_mlp(d: int) -> nn.Sequential:
    first, second = WIDTHS
    return nn.Sequential(
        nn.Linear(d, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU(), nn.Linear(second, 1)
    )


def forward_flops(d: int) -> int:
    """Multiply-adds counted twice, for one embedding."""
    first, second = WIDTHS
    return 2 * (d * first + first * second + second)


def training_flops(d: int) -> int:
    """Forward, gradient of the weights, gradient of the inputs (which the first layer does not need)."""
    return 3 * forward_flops(d) - 2 * d * WIDTHS[0]


def fit_mlp_ensemble(
    left: np.ndarray,
    right: np.ndarray,
    label: np.ndarray,
    n_members: int = 10,
    epochs: int = 30,
    patience: int = 3,
    batch_size: int = 10_240,
    lr: float = 1e-3,
    seed: int = 0,
) -> Fit:
    """left, right: [n, d], label: [n]. Members one after another, each with its own split and weights."""
    started = time.perf_counter()
    a, b = (torch.from_numpy(np.concatenate(sides)) for sides in ((left, right), (right, left)))
    y = torch.from_numpy(np.concatenate([label, 1 - label]))
    members, run, flops = [], [], 0
    for member in range(n_members):
        torch.manual_seed(seed + member)
        order = torch.randperm(len(y))
        cut = int(0.8 * len(y))
        train, valid = ([t[rows] for t in (a, b, y)] for rows in (order[:cut], order[cut:]))
        model, n_epochs = _fit_member(train, valid, epochs, patience, batch_size, lr)
        steps = math.ceil(cut / batch_size)
        per_epoch = steps * min(batch_size, cut) * training_flops(a.shape[1])
        per_epoch += (len(y) - cut) * forward_flops(a.shape[1])
        flops += 2 * n_epochs * per_epoch  # both sides of a pair
        members.append(model)
        run.append(n_epochs)
    seconds = time.perf_counter() - started
    return Fit(members, seconds, run, flops / seconds / 1e9)


def _fit_member(
    train: list[torch.Tensor],
    valid: list[torch.Tensor],
    epochs: int,
    patience: int,
    batch_size: int,
    lr: float,
) -> tuple[nn.Sequential, int]:
    """-> the model with its last weights, the epochs run."""
    a, b, y = train
    model = make_mlp(a.shape[1])
    optimiser = torch.optim.Adam(model.parameters(), lr=lr)
    loss_of = nn.BCEWithLogitsLoss()
    best, waited = math.inf, 0
    for epoch in range(1, epochs + 1):
        for _ in range(0, len(y), batch_size):
            rows = torch.randperm(len(y))[:batch_size]  # redrawn at each step: an epoch is no full pass
            loss = loss_of((model(a[rows]) - model(b[rows])).squeeze(1), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            value = loss_of((model(valid[0]) - model(valid[1])).squeeze(1), valid[2]).item()
        waited = 0 if value < best else waited + 1
        best = min(best, value)
        if waited >= patience:
            return model, epoch
    return model, epochs


def score(
    path: Path | str,
    members: nn.Sequential | Sequence[nn.Sequential],
    batch_size: int = 8192,
    memory_gib: float = MEMORY_GIB,
    dtype: torch.dtype = torch.float32,
) -> Scores:
    """Every row of an embeddings.parquet by every member; prints the reading time and the rate.

    dtype: of the products; members are converted to it.
    Read at once by way of pandas; by row group where the frame and its float32 matrix would not fit.
    """
    started = time.perf_counter()
    models = [members] if isinstance(members, nn.Sequential) else list(members)
    models = [copy.deepcopy(model).to(dtype) for model in models]
    file = pq.ParquetFile(path)
    rows, d = file.metadata.num_rows, file.schema_arrow.field("embedding").type.list_size
    whole = _reading_gib(rows, d) <= min(memory_gib, 0.8 * _available_gib())
    read, computed, ids, parts = 0.0, 0.0, [], []
    for group in [None] if whole else range(file.num_row_groups):
        begun = time.perf_counter()
        table = pq.read_table(path) if group is None else file.read_row_group(group)
        frame = table.to_pandas()
        x = _matrix(frame)
        ids.append(frame["response_id"].to_numpy())
        read_at = time.perf_counter()
        parts.append(_forward(models, x, batch_size, dtype))
        read += read_at - begun
        computed += time.perf_counter() - read_at
        del table, frame, x
    gflops = rows * len(models) * forward_flops(d) / max(computed, 1e-9) / 1e9
    how = "at once" if whole else f"by row group ({_reading_gib(rows, d):.1f} GiB at once would not fit)"
    print(f"score: {rows:,} rows read {how} in {read:.2f} s; {len(models)} model(s) in {computed:.2f} s, "
          f"{gflops:.0f} GFLOP/s")  # fmt: skip
    seconds = time.perf_counter() - started
    return Scores(np.concatenate(ids), np.concatenate(parts), seconds, read, gflops, whole)


def _matrix(frame: pd.DataFrame) -> np.ndarray:
    return np.stack(frame["embedding"].to_list(), dtype=np.float32, casting="same_kind")


def _forward(models: list[nn.Sequential], x: np.ndarray, batch_size: int, dtype: torch.dtype) -> np.ndarray:
    """x: [rows, d] -> [rows, members]."""
    with torch.inference_mode():
        batches = torch.from_numpy(x).split(batch_size)
        scored = [torch.cat([m(batch.to(dtype)) for m in models], dim=1) for batch in batches]
    return np.asarray(torch.cat(scored).float())


def _reading_gib(rows: int, d: int) -> float:
    """Measured peak: 10 bytes a value (file buffers, Arrow, float32 matrix), some 300 of objects a row."""
    return rows * (10 * d + 300) / 2**30


def _available_gib() -> float:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(v.split()[1]) for v in lines if v.startswith("MemAvailable")) / 2**20
    except (OSError, StopIteration):
        return math.inf


def best_of_n(
    scores: np.ndarray,
    golden: np.ndarray,
    ns: Sequence[int],
    repeats: int = 100,
    rng: np.random.Generator | None = None,
) -> BestOfN:
    """scores, golden: [P, K] -> the mean over `repeats` draws of N of the K responses, by prompt and N."""
    started = time.perf_counter()
    rng = np.random.default_rng(0) if rng is None else rng
    values = np.empty((len(scores), len(ns)))
    for p, (s, g) in enumerate(zip(scores, golden, strict=True)):
        for column, n in enumerate(ns):
            total = 0.0
            for _ in range(repeats):
                drawn = rng.choice(len(s), n, replace=False, shuffle=False)
                total += g[drawn[s[drawn].argmax()]]
            values[p, column] = total / repeats
    return BestOfN(values, time.perf_counter() - started)


def matmul_gflops(repeats: int = 3) -> float:
    """The machine's own rate: the best of some float32 products 4096 x 2048 x 2048."""
    a, b = torch.randn(4096, 2048), torch.randn(2048, 2048)
    out = a @ b
    best = math.inf
    for _ in range(repeats):
        started = time.perf_counter()
        torch.mm(a, b, out=out)
        best = min(best, time.perf_counter() - started)
    return 2 * 4096 * 2048 * 2048 / best / 1e9
