"""Sizes of the benchmark of heads; both sides work on the same."""

from __future__ import annotations

from typing import NamedTuple


class Sizes(NamedTuple):
    d: int  # width of the embeddings
    pool: tuple[int, int]  # prompts and responses that comparisons are drawn from
    held_out: int  # prompts more, that order accuracy is measured on
    comparisons: int  # a fifth of them for validation
    members: int  # of the ensemble
    epochs: int  # of the naive fit, at most; ours stops by itself
    pairs_of: tuple[int, int]  # prompts of ten responses and their width, which the naive loop draws from
    naive_pairs: int  # pairs that the naive loop draws
    our_pairs: int  # pairs that ours draws, from a pool of the study's shape
    best_of_n: tuple[int, int]  # prompts and responses
    score_rows: tuple[int, int]  # prompts and responses to score
    score_d: int  # their width
    sweep_cells: int
    sweep_d: int
    sweep_pool: tuple[int, int]
    sweep_test: tuple[int, int]
    sweep_comparisons: int


FULL = Sizes(
    d=2048,
    pool=(4000, 10),
    held_out=800,
    comparisons=10_000,
    members=10,
    epochs=30,
    pairs_of=(1000, 2048),
    naive_pairs=20_000,
    our_pairs=400_000,
    best_of_n=(2000, 500),
    score_rows=(2000, 500),
    score_d=2048,
    sweep_cells=1000,
    sweep_d=576,
    sweep_pool=(2000, 10),
    sweep_test=(200, 100),
    sweep_comparisons=10_000,
)
QUICK = Sizes(
    d=1024,
    pool=(1000, 10),
    held_out=400,
    comparisons=3000,
    members=1,
    epochs=20,
    pairs_of=(1000, 2048),
    naive_pairs=20_000,
    our_pairs=400_000,
    best_of_n=(100, 500),
    score_rows=(250, 500),  # enough that quick forms are tried
    score_d=1024,
    sweep_cells=20,
    sweep_d=128,
    sweep_pool=(500, 10),
    sweep_test=(100, 50),
    sweep_comparisons=2000,
)
