"""The command lines of import and export."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rmlab.commands.options import AsJson, ConfigDir, DryRun, Force, Overrides


class Form(StrEnum):
    trl = "trl"
    datasets = "datasets"


class Unusable(StrEnum):
    error = "error"
    drop = "drop"


class Long(StrEnum):
    cut = "cut"
    refuse = "refuse"


class PairsOption(StrEnum):
    all = "all"
    best = "best"


def import_(
    source: Annotated[
        str, typer.Argument(help="A file, a folder of arrays or of a dataset, or a dataset's name.")
    ],
    overrides: Overrides = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    force: Force = False,
    config_dir: ConfigDir = None,
) -> None:
    """Import preference data: pairs, rankings, votes, labels, scores or arrays, recognised by its columns.

    The whole file is checked first. form= names its form; unusable=drop leaves out records without
    information.
    """
    from rmlab.commands.importing import import_command

    import_command(source, overrides or [], dry_run, as_json, force, config_dir)


def export(
    out: Annotated[Path, typer.Argument(help="The file (.jsonl, .parquet) or the folder to write.")],
    overrides: Overrides = None,
    to: Annotated[Form, typer.Option("--to", help="trl: a file of preference rows; datasets: a folder.")] = (
        Form.trl
    ),
    source: Annotated[
        Path | None, typer.Option("--from", help="The folder of an annotate artifact, instead of settings.")
    ] = None,
    pairs: Annotated[
        PairsOption,
        typer.Option("--pairs", help="all: all pairs of a prompt; best: its best against its worst answer."),
    ] = PairsOption.all,
    licence: Annotated[
        str, typer.Option("--license", help="For the dataset's card, such as mit.")
    ] = "unknown",
    as_json: AsJson = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
    config_dir: ConfigDir = None,
) -> None:
    """Write prompts, responses and scores as preferences that TRL and datasets read; ties are left out."""
    from rmlab.commands.exporting import ExportOptions, export_command

    options = ExportOptions(to.value, pairs.value, licence, force)
    export_command(out, overrides or [], source, options, as_json, config_dir)
