"""The command lines of release, validate and merge, for embedding sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rmlab.commands.options import AsJson, ConfigDir, DryRun, Force, Overrides

VALIDATE = """Check an embedding set: a folder with all data that reward heads are fitted on.

set.json: name, licence, policies, rewards, embedders, how each was made, checksums

README.md, LICENSE: the data card (front matter with `license`) and the licence

prompts.parquet: prompt_id, group, split (train or test), messages

responses-POLICY.parquet: prompt_id, response_id, split, sample_index, text, n_tokens, finish_reason, logprob

scores-POLICY.parquet: response_id, reward, score

embeddings-POLICY-EMBEDDER.parquet: response_id, embedding (8-bit integers)

scales-POLICY-EMBEDDER.parquet: dimension, scale (embedding × scale is the vector)

Prints a list of checks; every failure is a line with file and row, and the exit code is then 3.
See docs/embedding_sets.md; `rmlab release` writes a set and `rmlab merge` joins several.
"""


def release(
    out: Annotated[Path, typer.Argument(help="The folder of the set; the set gets its name.")],
    overrides: Overrides = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    force: Force = False,
    config_dir: ConfigDir = None,
) -> None:
    """Write responses, scores and embeddings as an embedding set that people can ship.

    Stages that are not done are run first, as by `rmlab run`. The section `release` of the settings names the
    policies and embedders:  rmlab release SET experiment=demo release.license=CC-BY-4.0
    """
    from rmlab.commands.release import release_command

    release_command(out, overrides or [], dry_run, as_json, force, config_dir)


def validate(
    path: Annotated[Path, typer.Argument(metavar="SET", help="The folder of an embedding set.")],
    as_json: AsJson = False,
) -> None:
    from rmlab.commands.release import validate_command

    validate_command(path, as_json)


def merge(
    out: Annotated[Path, typer.Argument(help="The folder of the study.")],
    sets: Annotated[list[str], typer.Argument(metavar="SET SET...", help="Embedding sets to join.")],
    license: Annotated[
        str | None, typer.Option("--license", help="SPDX name; needed if the sets have different licences.")
    ] = None,
    as_json: AsJson = False,
    force: Force = False,
) -> None:
    """Join embedding sets into one study: all their policies, each with every reward and embedder.

    Prompts of equal ids must be equal. Of policies of equal names, later ones get the name of their set
    behind theirs; equal responses in two sets are one policy, with the rewards and embedders of both. On a
    conflict, nothing is written.
    """
    from rmlab.commands.release import merge_command

    merge_command(out, sets, license, as_json, force)
