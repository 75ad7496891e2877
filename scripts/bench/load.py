"""Many rows through annotate, embed, fit-rm, eval-rm and report: memory, time and rate of each at two sizes.

    python scripts/bench/load.py --folder DIR --quick    20,000 and 200,000 responses: some three minutes
    python scripts/bench/load.py --folder DIR            1,000,000 and 10,000,000: half an hour without report
    python scripts/bench/load.py --folder DIR --rows 100000 1000000

The texts are short and synthetic, in the proportions of the study: two sevenths of the responses are 10 a
train prompt, the others 100 a test prompt. Golden reward length, embedder hashing of width 64, a linear
Bradley-Terry head and an MLP on 10,000 comparisons. Each command is a process of its own, run as a user would
run it; its peak memory is what the system says of it when it has ended. What is done already takes no time:
begin with an empty folder.

Disk: about 450 bytes a response, so 5 GB for both sizes; DIR is kept, and can be removed afterwards.

Ends with 1 where from the smaller to the larger size the memory of a stage grew by more than FIXED megabytes
and BYTES a row more (LARGER of fit-rm and eval-rm), or its time a row to more than SLOWER times that before.
The report is measured, not held to this: it draws the scores of all responses. The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from rmlab.processes import run

PER_TRAIN, PER_TEST = 10, 100  # responses a prompt
TRAIN_SHARE = 2 / 7  # of the responses
STAGES = ("sample", "annotate", "embed", "fit-rm", "eval-rm", "report")
ROWS, QUICK = (1_000_000, 10_000_000), (20_000, 200_000)
FIXED = 150  # megabytes of blocks, resamples and numbers a prompt that a small size does not fill
BYTES = 15  # a row more, that the peak memory of a stage may grow by beside these, at most
# The same of stages that hold every response: its id, and in eval-rm its text statistics and scores.
# So does sample with a thousand bytes of each prompt, of which there is one for 28 rows here.
LARGER = {"sample": 45, "fit-rm": 100, "eval-rm": 400}
SLOWER = 1.5  # the time per row of the larger size, at most
SETTINGS = (
    "name=load",
    "prompts=file",
    "prompts.path=prompts.parquet",
    "sft=none",
    "sampler=dummy",
    "sampler._target_=load_sampler.ShortTexts",
    "allow_modules=[load_sampler]",
    f"sampling.n_train={PER_TRAIN}",
    f"sampling.n_test={PER_TEST}",
    "prompts_per_shard=200",
    "golden=length",
    "embedder=hashing",
    "embedder.dimension=64",
    "comparisons.n=10000",
    "comparisons.n_validation=2000",
    "arms=['head=linear','head=mlp']",
)


class Cost(NamedTuple):
    rows: int
    megabytes: float  # peak
    wall: float  # seconds
    cpu: float


def write_prompts(file: Path, rows: int) -> None:
    """Test prompts evenly among the train prompts, so that all shards are alike."""
    n_train, n_test = round(rows * TRAIN_SHARE / PER_TRAIN), round(rows * (1 - TRAIN_SHARE) / PER_TEST)
    total = n_train + n_test
    splits = ["test" if (k + 1) * n_test // total > k * n_test // total else "train" for k in range(total)]
    names = [f"prompt {k} asks for a few words" for k in range(total)]
    pq.write_table(pa.table({"prompt": names, "split": splits}), file)


def costs(folder: Path, rows: int, stages: tuple[str, ...]) -> Iterator[tuple[str, Cost]]:
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "prompts.parquet").is_file():
        write_prompts(folder / "prompts.parquet", rows)
    for stage in stages:
        done = _rmlab(folder, stage, rows)
        print(f"{rows:>12,} rows  {stage:9} {_told(done)}", flush=True)
        yield stage, done


def _rmlab(folder: Path, stage: str, rows: int) -> Cost:
    """One command, in a process of its own. What it says goes to a log beside its artifacts."""
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    measured, told = Path(__file__).with_name("load_measured.py"), folder.absolute() / f"{stage}.json"
    search = {"PYTHONPATH": os.pathsep.join(paths)}
    started = time.monotonic()
    with (folder / f"{stage}.log").open("w") as log:
        command = [sys.executable, measured, told, stage, *SETTINGS]
        done = run(command, environment=search, cwd=folder, stdout=log, stderr=log)
    if done.returncode:
        raise SystemExit(f"rmlab {stage} failed; {folder / f'{stage}.log'} says why")
    wall, used = time.monotonic() - started, json.loads(told.read_text())
    return Cost(rows, used["megabytes"], wall, used["cpu"])


def _told(cost: Cost) -> str:
    rate = cost.rows / cost.wall
    return f"{cost.megabytes:7,.0f} MB  {cost.wall:8.1f} s  {cost.cpu:8.1f} CPU s  {rate:10,.0f} rows/s"


def compare(small: dict[str, Cost], large: dict[str, Cost]) -> dict[str, dict[str, float]]:
    """Bytes a row that memory grew by, and the time per row as a multiple of that at the small size."""
    found = {}
    for stage in small.keys() & large.keys():
        a, b = small[stage], large[stage]
        growth, more = b.megabytes - a.megabytes, b.rows - a.rows
        by = {"megabytes": growth, "bytes_a_row": growth * 2**20 / more, "time": _per_row(a, b)}
        most = FIXED + LARGER.get(stage, BYTES) * more / 2**20
        found[stage] = by | {"over": growth > most or by["time"] > SLOWER}
    return {stage: found[stage] for stage in STAGES if stage in found}


def _per_row(a: Cost, b: Cost) -> float:
    return (b.cpu / b.rows) / (a.cpu / a.rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the responses are made and kept")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--rows", type=int, nargs=2, default=ROWS, metavar=("SMALL", "LARGE"))
    size.add_argument("--quick", dest="rows", action="store_const", const=QUICK)
    parser.add_argument("--stages", default=",".join(STAGES), help="the commands to run, by commas")
    given = parser.parse_args()
    stages = tuple(given.stages.split(","))
    found = [dict(costs(given.folder.resolve() / str(rows), rows, stages)) for rows in given.rows]
    grown = compare(*found)
    for stage, by in grown.items():
        print(
            f"{stage:9} {by['megabytes']:+8.0f} MB  {by['bytes_a_row']:+6.0f} B/row  time x {by['time']:.2f}"
        )
    bad = [stage for stage, by in grown.items() if by["over"] and stage != "report"]
    print(json.dumps({"grown": grown, "over_the_bound": bad}))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
