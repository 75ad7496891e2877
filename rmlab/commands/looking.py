"""The command lines of the commands that show something and write nothing, but for `verify --repair`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rmlab.commands.options import AsJson, Column, ConfigDir, Overrides, columns_of


def settings(
    context: typer.Context,
    of: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...", help="A group, GROUP=OPTION, a section, a setting or the command of a stage."
        ),
    ] = None,
    as_json: AsJson = False,
    config_dir: ConfigDir = None,
) -> None:
    """List what can be set, with its default and a comment.

    rmlab settings                all groups, sections and settings

    rmlab settings head           the options of a group, and the settings of its default

    rmlab settings head=mlp       the settings of an option

    rmlab settings sampling       the settings of a section

    rmlab settings fit-rm         what decides the result of a stage
    """
    from rmlab.commands.list_settings import settings_command

    commands = list(context.parent.command.commands)  # type: ignore[union-attr]
    settings_command(of or [], commands, as_json, config_dir)


def status(overrides: Overrides = None, as_json: AsJson = False, config_dir: ConfigDir = None) -> None:
    """Show which stages of an experiment are done, begun, missing, stale, damaged or unreadable, and why.

    Without settings: all artifacts in artifacts/, or in the folder that out=DIR gives.
    """
    from rmlab.commands.status import status_command

    status_command(overrides or [], as_json, config_dir)


def inspect(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Folders of artifacts, and files of data.")
    ],
    rows: Annotated[int, typer.Option("--rows", min=0, help="Sample rows to show.")] = 3,
    column: Column = None,
    as_json: AsJson = False,
) -> None:
    """Show the schema, rows, lineage back to the first input, and some rows of a table.

    Of a file of data (.jsonl, .json, .csv, .parquet): its form, rows and columns, and the command that takes
    it.
    """
    from rmlab.commands.inspect import inspect_command

    inspect_command(paths, rows, columns_of(column or ()), as_json)


def verify(
    path: Annotated[str, typer.Argument(help="An artifact, a folder of artifacts, or all.")],
    overrides: Overrides = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Drop bad files; the next run makes them again.")
    ] = False,
    as_json: AsJson = False,
    config_dir: ConfigDir = None,
) -> None:
    """Compare every file of artifacts with its digest, and show which artifacts are stale.

      rmlab verify all                      all in artifacts/; elsewhere: rmlab verify all out=DIR

      rmlab verify --repair artifacts/embed/hashing-0123456789abcdef

    --repair sets bad parts aside and names the command that makes them again, and no others.

    The exit code is 3 if anything is damaged, unreadable or stale. The command that made a stale artifact
    makes it again.
    """
    from rmlab.commands.verify import verify_command

    verify_command(path, overrides or [], repair, as_json, config_dir)


def doctor(
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure the machine's products and memory, for some seconds.")
    ] = False,
    model: Annotated[str, typer.Option(help="The model whose shapes --measure takes.")] = "smollm2-135m-q4",
    as_json: AsJson = False,
) -> None:
    """Show what this machine can run, what is missing, and the command that installs it.

    --measure shows how fast it multiplies in float32 and in bfloat16, and what dtype=auto therefore is.
    """
    from rmlab.commands.doctor import doctor_command

    doctor_command(as_json, model if measure else None)
