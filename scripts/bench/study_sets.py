"""Synthetic embeddings of the study's shape: as many rows and columns, made and written by blocks.

    python scripts/bench/study_sets.py FOLDER [--small] [--seed 0]

Writes prompts.parquet, responses.parquet and embeddings.parquet, as own embeddings are read. The full
size is (40000, 10, 2048) for training and (2000, 500, 2048) for the test: 5.7 GB as float16.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

RANK = 128  # latent factors (fewer where d is smaller)
SEEN = 4  # leading factors the nonlinear part sees
HIDDEN = 32  # its hidden units
PROMPT_SHARE = 0.4  # share of the latent variance that the responses of one prompt have in common
ISOTROPIC = 0.3  # per-dimension noise of the embedding, beside a signal of 1
NONLINEAR, PROMPT_OFFSET, RESPONSE_NOISE = 0.5, 0.2, 0.35  # of the reward, beside a linear part of 1
GROUP_BYTES = 64_000_000
STREAMS = {"world": 0, "train": 1, "test": 2, "memory": 3}  # each with random numbers of its own


class Paths(NamedTuple):
    prompts: Path
    responses: Path
    embeddings: Path


def _stream(seed: int, name: str, block: int = 0) -> torch.Generator:
    state = np.random.SeedSequence([seed, STREAMS[name], block]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)


@dataclass(frozen=True)
class World:
    """What is the same for every response of a seed.

    latent z [r] = sqrt(s) u(prompt) + sqrt(1-s) v(response), u, v ~ N(0, I), s = PROMPT_SHARE
    embedding    = mean + scale * (z @ factors + ISOTROPIC * noise): eigenvalues of the factors ~ 1/j
    golden       = z @ linear + NONLINEAR * (tanh(z[:SEEN] @ inner + bias) @ outer - [1, z[:SEEN]] @ plane)
                   + PROMPT_OFFSET * N(0, 1) per prompt + RESPONSE_NOISE * N(0, 1) per response
    The linear and the nonlinear part each have variance 1 over all responses; `plane` is the least-squares
    plane of the latter, so no linear head learns it. The two last terms do not show in the embedding: no
    head orders every pair rightly.
    """

    mean: torch.Tensor  # [d]
    scale: torch.Tensor  # [d]
    factors: torch.Tensor  # [r, d]
    linear: torch.Tensor  # [r]
    inner: torch.Tensor  # [SEEN, HIDDEN]
    bias: torch.Tensor  # [HIDDEN]
    outer: torch.Tensor  # [HIDDEN]
    plane: torch.Tensor  # [1 + SEEN]

    @classmethod
    def make(cls, d: int, seed: int) -> World:
        rng = _stream(seed, "world")
        rank = min(RANK, d)
        power = 1 / torch.arange(1, rank + 1)
        linear = torch.randn(rank, generator=rng) * power**0.25
        seen = min(SEEN, rank)
        inner = torch.randn(seen, HIDDEN, generator=rng) / seen**0.5
        bias, outer = torch.randn(HIDDEN, generator=rng), torch.randn(HIDDEN, generator=rng)
        z = torch.randn(20_000, seen, generator=rng)
        pilot = torch.tanh(z @ inner + bias) @ outer
        ones = torch.cat([torch.ones(len(z), 1), z], dim=1)
        plane = torch.linalg.lstsq(ones, pilot[:, None]).solution[:, 0]
        size = (pilot - ones @ plane).std()
        return cls(
            mean=torch.randn(d, generator=rng),
            scale=torch.exp(0.5 * torch.randn(d, generator=rng)),
            factors=torch.randn(rank, d, generator=rng) * (power / power.sum()).sqrt()[:, None],
            linear=linear / linear.norm(),
            inner=inner,
            bias=bias,
            outer=outer / size,
            plane=plane / size,
        )

    def draw(self, n_prompts: int, n: int, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """-> embeddings float16 [n_prompts * n, d], golden float64 [n_prompts, n]."""
        rank, d = self.factors.shape
        common = torch.randn(n_prompts, 1, rank, generator=rng) * PROMPT_SHARE**0.5
        z = common + torch.randn(n_prompts, n, rank, generator=rng) * (1 - PROMPT_SHARE) ** 0.5
        seen = z[..., : len(self.inner)]
        curved = torch.tanh(seen @ self.inner + self.bias) @ self.outer
        curved -= seen @ self.plane[1:] + self.plane[0]
        golden = z @ self.linear + NONLINEAR * curved
        golden += PROMPT_OFFSET * torch.randn(n_prompts, 1, generator=rng)
        golden += RESPONSE_NOISE * torch.randn(n_prompts, n, generator=rng)
        x = torch.randn(n_prompts * n, d, generator=rng).mul_(ISOTROPIC)
        x.addmm_(z.reshape(-1, rank), self.factors).mul_(self.scale).add_(self.mean)
        return x.half(), golden.double()


def in_memory(n_prompts: int, n: int, d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """-> x float32 [n_prompts, n, d] (rounded to float16, as in the files), golden float64 [n_prompts, n].

    The reward function is that of the files of the same d and seed; the responses are others.
    """
    x, golden = World.make(d, seed).draw(n_prompts, n, _stream(seed, "memory"))
    return x.float().numpy().reshape(n_prompts, n, d), golden.numpy()


def make_study(
    folder: Path | str,
    n_train_prompts: int = 40_000,
    n_train: int = 10,
    n_test_prompts: int = 2_000,
    n_test: int = 500,
    d: int = 2048,
    seed: int = 0,
) -> Paths:
    """Writes the three files, one row group of vectors in memory at a time."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = Paths(*(folder / f"{name}.parquet" for name in Paths._fields))
    _write_prompts(paths.prompts, {"train": n_train_prompts, "test": n_test_prompts})
    world = World.make(d, seed)
    text = pa.schema([(name, pa.string()) for name in ("prompt_id", "response_id", "response")])
    responses_schema = text.append(pa.field("score", pa.float64()))
    vectors_schema = _vectors_schema(d)
    with (
        pq.ParquetWriter(
            paths.responses, responses_schema, compression="zstd", write_page_checksum=True
        ) as responses,
        pq.ParquetWriter(
            paths.embeddings,
            vectors_schema,
            compression={"response_id": "zstd", "embedding.list.element": "none"},
            use_dictionary=False,
            write_statistics=["response_id"],
            write_page_checksum=True,
        ) as embeddings,
    ):
        for split, n_prompts, n in (("train", n_train_prompts, n_train), ("test", n_test_prompts, n_test)):
            for block, first, count in _blocks(n_prompts, n, d):
                x, golden = world.draw(count, n, _stream(seed, split, block))
                table = _responses(split, first, golden.numpy(), responses_schema)
                responses.write_table(table)
                vectors = pa.FixedSizeListArray.from_arrays(
                    pa.array(x.numpy().reshape(-1)), type=vectors_schema.field("embedding").type
                )
                rows = pa.Table.from_arrays([table["response_id"], vectors], schema=vectors_schema)
                embeddings.write_table(rows, row_group_size=len(rows))
    return paths


def _blocks(n_prompts: int, n: int, d: int) -> Iterator[tuple[int, int, int]]:
    """(block, first prompt, prompts): whole prompts, about GROUP_BYTES of float16 vectors each."""
    step = max(1, GROUP_BYTES // (2 * d * n))
    for block, first in enumerate(range(0, n_prompts, step)):
        yield block, first, min(step, n_prompts - first)


def _vectors_schema(d: int) -> pa.Schema:
    vector = pa.list_(pa.field("item", pa.float16(), nullable=False), d)
    return pa.schema([("response_id", pa.string()), pa.field("embedding", vector, nullable=False)])


def _write_prompts(path: Path, sizes: dict[str, int]) -> None:
    names = [(f"{split}-{p:06d}", split) for split, n in sizes.items() for p in range(n)]
    columns = {
        "prompt_id": [name for name, _ in names],
        "prompt": [f"Prompt {name}" for name, _ in names],
        "split": [split for _, split in names],
    }
    pq.write_table(pa.table(columns), path, compression="zstd", write_page_checksum=True)


def _responses(split: str, first: int, golden: np.ndarray, schema: pa.Schema) -> pa.Table:
    prompts = [f"{split}-{first + p:06d}" for p in range(len(golden))]
    ids = [f"{prompt}-{k:03d}" for prompt in prompts for k in range(golden.shape[1])]
    columns = [
        [prompt for prompt in prompts for _ in range(golden.shape[1])],
        ids,
        [f"Response {i}" for i in ids],
        golden.reshape(-1),
    ]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", action="store_true", help="(400, 10, 256) and (40, 100, 256)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    sizes = (400, 10, 40, 100, 256) if args.small else (40_000, 10, 2_000, 500, 2048)
    started = time.perf_counter()
    paths = make_study(args.folder, *sizes, seed=args.seed)
    print(f"made in {time.perf_counter() - started:.1f} s")
    for path in paths:
        print(f"{path}: {path.stat().st_size / 1e6:,.1f} MB")


if __name__ == "__main__":
    main()
