"""Heads at the study's scale: rmlab beside the study's plain way (naive.py), in one run on one machine.

    python scripts/bench/heads.py --quick            smaller sizes on both sides, under a minute
    python scripts/bench/heads.py --full             the study's sizes: an hour, 14 GB of disk
    python scripts/bench/heads.py --full --only fit_mlp,fit_linear --folder DIR

Prints what each side took, how good its result is and where it stands against the machine's own rates;
the last line is one JSON object of ratios (naive time over ours), and of rates and minutes where it says so.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "20000")

from head_files import bench_paper_scale, bench_score, bench_sweep
from head_works import bench_best_of_n, bench_fits, bench_pairs
from naive import matmul_gflops
from sizes import FULL, QUICK, Sizes

WORKS = {
    ("fit_mlp", "fit_linear"): bench_fits,
    ("pairs",): bench_pairs,
    ("best_of_n",): bench_best_of_n,
    ("score",): bench_score,
    ("sweep_cells_per_minute",): bench_sweep,
    ("paper_scale_minutes",): bench_paper_scale,
}
FULL_ONLY = {"paper_scale_minutes"}


def run(sizes: Sizes, only: set[str], folder: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for keys, work in WORKS.items():
        wanted = only & set(keys) if only else set(keys)
        if wanted and (sizes is FULL or not set(keys) & FULL_ONLY):
            print(f"== {', '.join(keys)}", flush=True)
            found |= work(sizes, folder)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="smaller sizes on both sides (the default)")
    size.add_argument("--full", action="store_true", help="the study's sizes")
    parser.add_argument("--only", default="", help="keys of the last line, separated by commas")
    parser.add_argument("--folder", type=Path, help="where sets are made and kept; default: a temporary one")
    given = parser.parse_args()
    sizes = FULL if given.full else QUICK
    before = matmul_gflops()
    print(f"matrix product 4096 x 2048 x 2048 in float32: {before:.0f} GFLOP/s; sizes: {sizes}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = run(sizes, set(filter(None, given.only.split(","))), folder)
    after = matmul_gflops()
    note = "" if after > 0.8 * before else ": another program was busy, run this again"
    print(f"matrix product at the end: {after:.0f} GFLOP/s{note}")
    print(json.dumps({key: float(f"{value:.4g}") for key, value in found.items()}))


if __name__ == "__main__":
    main()
