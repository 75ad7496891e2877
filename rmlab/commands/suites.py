"""The command line of bench."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rmlab.commands.import_export import Long
from rmlab.commands.options import (
    AllowModules,
    AsJson,
    BaseModel,
    ConfigDir,
    Overrides,
    TrustRemoteCode,
)


class SuiteName(StrEnum):
    rewardbench = "rewardbench"
    rewardbench2 = "rewardbench2"
    rm_bench = "rm-bench"
    judgebench = "judgebench"


def bench(
    source: Annotated[
        str,
        typer.Argument(metavar="FILE", help="A file, a dataset's folder, or its name in the hub's cache."),
    ],
    suite: Annotated[SuiteName, typer.Option("--suite", help="The benchmark that the file is of.")],
    overrides: Overrides = None,
    head: Annotated[
        Path | None, typer.Option("--head", help="artifacts/fit_rm/NAME, or a saved reward model.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="The split of a dataset; else the one that the suite judges on."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Judge only so many prompts, drawn at random.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the intervals, and of --limit.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="A .jsonl file for the result of each row, in the suite's form."),
    ] = None,
    long: Annotated[Long, typer.Option("--long", help="What becomes of texts too long to read.")] = Long.cut,
    device: Annotated[
        str | None, typer.Option("--device", help="Of the head's embedder: auto, cpu or cuda.")
    ] = None,
    base_model: BaseModel = None,
    allow_modules: AllowModules = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: AsJson = False,
    config_dir: ConfigDir = None,
) -> None:
    """Judge a head, a golden reward or a classifier on a public benchmark of reward models.

      rmlab bench --suite rewardbench2 rb2.jsonl --head my-reward-model

      rmlab bench --suite rm-bench THU-KEG/RM-Bench golden=length --out rows.jsonl

    Scores of each subset and over all are computed as the benchmark's own scripts do, with 95 % intervals by
    resampling prompts. Data is read from a file, or from the hub's local cache: nothing is fetched.
    """
    from rmlab.commands.bench import BenchOptions, bench_command
    from rmlab.commands.judges import HeadOptions

    given = None
    if head is not None or device or base_model or allow_modules or trust_remote_code:
        modules = tuple(allow_modules or ())
        given = HeadOptions(head, device or "auto", base_model, modules, trust_remote_code)
    options = BenchOptions(suite.value, split, limit, seed, out, long.value)
    bench_command(source, overrides or [], given, options, as_json, config_dir)
