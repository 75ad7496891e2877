"""The command lines of push and pull, for heads and embedding sets on a model hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rmlab.commands.options import AsJson, DryRun

Endpoint = Annotated[
    str | None, typer.Option("--endpoint", help="Address of the hub; else HF_ENDPOINT, else the usual one.")
]


def push(
    what: Annotated[
        str,
        typer.Argument(metavar="WHAT", help="artifacts/fit_rm/NAME, a saved or exported head, or a set."),
    ],
    repo: Annotated[str, typer.Argument(metavar="REPO", help="OWNER/NAME on the hub.")],
    license: Annotated[
        str | None, typer.Option("--license", help="SPDX name of the licence of a head, such as apache-2.0.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make the repository private.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Send it without asking.")] = False,
    endpoint: Endpoint = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Send a head or an embedding set to a model hub, with a card that says what it is.

      rmlab push artifacts/fit_rm/linear-0123456789abcdef me/my-head --license apache-2.0 --private

      rmlab push my-reward-model me/my-head --license apache-2.0 --dry-run    only shows what would go

      rmlab push data/my-set me/my-set    an embedding set becomes a dataset

    The files are shown first, and nothing is sent before you type the repository's name, or yes; where there
    is no terminal, --yes is that word. The card has settings, data, metrics with intervals, and the lines
    that use the head; paths of this machine are left out. Log in with `hf auth login`, or set HF_TOKEN.
    """
    from rmlab.commands.push import PushOptions, push_command

    push_command(what, repo, PushOptions(private, license, endpoint, yes, dry_run, as_json))


def pull(
    repo: Annotated[str, typer.Argument(metavar="REPO", help="OWNER/NAME, or datasets/OWNER/NAME.")],
    out: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder.")],
    revision: Annotated[str | None, typer.Option("--revision", help="A branch, tag or commit.")] = None,
    endpoint: Endpoint = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a head or an embedding set from a model hub, and check it before its folder appears.

      rmlab pull me/my-head my-reward-model    then: rmlab score FILE --head my-reward-model

      rmlab pull datasets/me/my-set my-set     then: rmlab run experiment=embedding_set input=my-set

    Repositories with other files than rmlab's own, such as pickles or code, are refused, and so is a file
    whose digest is another than the hub's or the record's.
    """
    from rmlab.commands.pull import pull_command

    pull_command(repo, out, revision, endpoint, as_json)
