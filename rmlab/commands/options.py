"""Options that several commands share, with their help."""

from __future__ import annotations

import re
from collections.abc import Sequence
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
Column = Annotated[
    list[str] | None,
    typer.Option("--column", help="NAME=YOURS: the file's name of a column; may be repeated."),
]
Workers = Annotated[
    int, typer.Option("--workers", min=0, help="Worker processes of one thread each; 0: one for each core.")
]
Device = Annotated[str, typer.Option("--device", help="Of the embedding model: auto, cpu or cuda.")]
BaseModel = Annotated[
    str | None, typer.Option("--base-model", help="Where the embedding model lies, if it has moved.")
]
AllowModules = Annotated[
    list[str] | None, typer.Option("--allow-module", help="A module of your own that holds the embedder.")
]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run the code that comes with the embedding model.")
]


def columns_of(given: Sequence[str]) -> dict[str, str]:
    """The names of columns that the options --column NAME=YOURS give."""
    from rmlab.config.settings import given_columns
    from rmlab.errors import ConfigError

    names: dict[str, str] = {}
    for text in given:
        name, sign, theirs = text.partition("=")
        if not (name and sign and theirs):
            raise ConfigError(f"--column {text}: write NAME=YOURS, such as --column prompt=instruction")
        if names.setdefault(name, theirs) != theirs:
            raise ConfigError(f"--column {name}= is given twice; give it once")
    try:
        return dict(given_columns(names))
    except ValueError as error:
        raise ConfigError(f"--column: {error}") from None


def as_options(text: str) -> str:
    """The message of an error about a file, with options in the place of the settings that it names."""
    text = re.sub(r"(?<=out with )unusable=drop$", "--unusable drop", text)
    text = re.sub(r"(?<=form with )form=(?=\.\.\.$)", "--form ", text)
    text = re.sub(
        r"(no column '[^']*', which )columns\.(?=\w+ names; it has )", r"\1--column ", text, count=1
    )
    advice = re.search(r"; name one with form=[\w|]+.*$", text)
    if advice is None:
        return text
    named = advice[0].replace("form=", "--form ", 1).replace("columns.", "--column ")
    return text[: advice.start()] + named
