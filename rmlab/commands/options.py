"""Options that several commands share, with their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Overrides = Annotated[
    list[str] | None, typer.Argument(help="key=value settings, such as experiment=demo head=mlp seed=3")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, without doing it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Force = Annotated[bool, typer.Option("--force", help="Do it again even if it is done.")]
ConfigDir = Annotated[
    Path | None, typer.Option("--config-dir", help="A folder with settings of your own, laid out like conf/.")
]
Workers = Annotated[
    int, typer.Option("--workers", min=0, help="Worker processes of one thread each; 0: one for each core.")
]
