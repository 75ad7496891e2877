"""The command line: parse, call, print. Settings are Hydra overrides at the end of a command."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rmlab import __version__

_HELP = """Reward-model research as a laptop job: sft, sample, annotate and embed once; fit and judge
reward heads on the cached embeddings in seconds.

Settings trail as overrides:  rmlab fit-rm experiment=demo head=mlp seed=3

Start with:  rmlab run experiment=smoke   (under a minute, no model)
then:        rmlab run experiment=demo    (a real language model, about 6 minutes on 2 cores)
"""
_VALIDATE = """Check an embedding set: a folder that holds all that fitting reward heads needs.

set.json: name, licence, policies, rewards, embedders, how each was made, checksums

README.md, LICENSE: the data card (front matter with `license`) and the licence

prompts.parquet: prompt_id, group, split (train or test), messages

responses-POLICY.parquet: prompt_id, response_id, split, sample_index, text, n_tokens, finish_reason, logprob

scores-POLICY.parquet: response_id, reward, score

embeddings-POLICY-EMBEDDER.parquet: response_id, embedding (8-bit integers)

scales-POLICY-EMBEDDER.parquet: dimension, scale (embedding × scale is the vector)

Prints a list of checks; every failure is a line with file and row, and the exit code is then 3.
docs/embedding_sets.md tells more; `rmlab release` writes a set and `rmlab merge` joins several.
"""
app = typer.Typer(
    help=_HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
)

Overrides = Annotated[
    list[str] | None, typer.Argument(help="key=value settings, such as experiment=demo head=mlp seed=3")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Force = Annotated[bool, typer.Option("--force", help="Do it again even if it is done.")]
ConfigDir = Annotated[
    Path | None, typer.Option("--config-dir", help="A folder with settings of your own, laid out like conf/.")
]


class Form(StrEnum):
    trl = "trl"
    datasets = "datasets"


class Pairs(StrEnum):
    all = "all"
    best = "best"


def _version(value: bool) -> None:
    if value:
        typer.echo(f"rmlab {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def _stage(name: str, help_text: str) -> None:
    """Adds the command of one stage; all of them take the same options."""

    def command(
        overrides: Overrides = None,
        dry_run: DryRun = False,
        as_json: AsJson = False,
        force: Force = False,
        config_dir: ConfigDir = None,
    ) -> None:
        from rmlab.commands.run import run_command

        run_command([name.replace("-", "_")], overrides or [], dry_run, as_json, force, config_dir)

    app.command(name, help=help_text)(command)


_stage("sft", "Fine-tune the model on demonstrations (LoRA or full), completions only.")
_stage("sample", "Draw n responses a prompt from the policy, for train and for test prompts.")
_stage("annotate", "Score every response with the golden rewards.")
_stage("embed", "Embed every response with one model, layer and pooling.")
_stage("fit-rm", "Fit the reward heads of the experiment's arms on noisy comparisons.")
_stage("crossval", "Fit each head anew without each fold of prompt groups; needs crossval.folds.")
_stage("heldout", "Accuracy on held-out pairs, with intervals over prompt groups; needs crossval.folds.")
_stage("eval-rm", "Judge heads and controls: best-of-N, rank correlation, accuracy, calibration.")
_stage("report", "Write the evaluation as one self-contained HTML file.")


@app.command()
def run(
    overrides: Overrides = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    force: Force = False,
    config_dir: ConfigDir = None,
) -> None:
    """Run all stages of an experiment; what is done is skipped, what was begun goes on."""
    from rmlab.commands.run import run_command

    run_command([], overrides or [], dry_run, as_json, force, config_dir)


@app.command()
def sweep(
    overrides: Overrides = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    force: Force = False,
    config_dir: ConfigDir = None,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Processes of one thread each; 0: one a core.")
    ] = 0,
) -> None:
    """Fit and judge a head for every combination of settings, on embeddings that `rmlab run` has made.

    Commas make a grid:  rmlab sweep experiment=demo head=linear,mlp noise.error=0.05,0.2,0.38 seed=0,1,2

    One row a cell goes into one results.parquet; a sweep that was interrupted goes on at the cell, and
    cells that another sweep has done are taken over. --dry-run counts the cells and estimates the time.
    """
    from rmlab.commands.sweep import sweep_command

    raise typer.Exit(sweep_command(overrides or [], dry_run, as_json, force, config_dir, workers))


@app.command("import")
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
    """Read preference data: pairs, rankings, votes, labels, scores or arrays, as its columns say.

    The whole file is checked first. form= names its form; unusable=drop leaves out what tells nothing.
    """
    from rmlab.commands.importing import import_command

    import_command(source, overrides or [], dry_run, as_json, force, config_dir)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="The file (.jsonl, .parquet) or the folder to write.")],
    overrides: Overrides = None,
    to: Annotated[Form, typer.Option("--to", help="trl: a file of preference rows; datasets: a folder.")] = (
        Form.trl
    ),
    source: Annotated[
        Path | None, typer.Option("--from", help="The folder of an annotate artifact, in place of settings.")
    ] = None,
    pairs: Annotated[
        Pairs, typer.Option("--pairs", help="all pairs of a prompt, or its best against its worst answer.")
    ] = Pairs.all,
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


@app.command()
def reproduce(
    overrides: Overrides = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="A finding by its name; repeat for several.")
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    force: Force = False,
    config_dir: ConfigDir = None,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Processes of one thread each; 0: one a core.")
    ] = 0,
) -> None:
    """Judge the findings of a study on your data: sweeps, effects with intervals, verdicts, a report.

    Findings are files in conf/study/ (yours: in the folder study of --config-dir):

      rmlab reproduce experiment=demo --only noise --only pairing

    What the sweep reads is made where it is missing; what is done is skipped, also cell by cell.
    """
    from rmlab.commands.reproduce import reproduce_command

    code = reproduce_command(overrides or [], only or [], dry_run, as_json, force, config_dir, workers)
    raise typer.Exit(code)


@app.command()
def status(overrides: Overrides = None, as_json: AsJson = False, config_dir: ConfigDir = None) -> None:
    """Show which stages of an experiment are done, begun or missing."""
    from rmlab.commands.status import status_command

    status_command(overrides or [], as_json, config_dir)


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(help="An artifact's folder, or a Parquet file.")],
    rows: Annotated[int, typer.Option("--rows", min=0, help="Sample rows to show.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Show the schema, rows, lineage back to the first input, and some rows of a table."""
    from rmlab.commands.inspect import inspect_command

    inspect_command(path, rows, as_json)


@app.command()
def release(
    out: Annotated[Path, typer.Argument(help="The folder of the set; its name is the set's.")],
    overrides: Overrides = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    force: Force = False,
    config_dir: ConfigDir = None,
) -> None:
    """Write responses, scores and embeddings as an embedding set that people can ship.

    Runs what is not done of them first, as `rmlab run` does. The section `release` of the settings names the
    policies and embedders:  rmlab release SET experiment=demo release.license=CC-BY-4.0
    """
    from rmlab.commands.release import release_command

    release_command(out, overrides or [], dry_run, as_json, force, config_dir)


@app.command(help=_VALIDATE)
def validate(
    path: Annotated[Path, typer.Argument(metavar="SET", help="The folder of an embedding set.")],
    as_json: AsJson = False,
) -> None:
    from rmlab.commands.validate import validate_command

    validate_command(path, as_json)


@app.command()
def merge(
    out: Annotated[Path, typer.Argument(help="The folder of the study.")],
    sets: Annotated[list[str], typer.Argument(metavar="SET SET...", help="Embedding sets to join.")],
    license: Annotated[
        str | None, typer.Option("--license", help="SPDX name, where the sets have different licences.")
    ] = None,
    as_json: AsJson = False,
    force: Force = False,
) -> None:
    """Join embedding sets into one study: all their policies, each with every reward and embedder.

    Equal prompt ids must be equal prompts. Policies of one name get their set's behind it; the same responses
    in two sets are one policy, with the rewards and embedders of both. Nothing is written on a conflict.
    """
    from rmlab.commands.merge import merge_command

    merge_command(out, sets, license, as_json, force)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Show what this machine can run, what is missing, and the command that installs it."""
    from rmlab.commands.doctor import doctor_command

    doctor_command(as_json)


def main() -> None:
    """The entry point: every expected failure is one line and an exit code, never a traceback."""
    from rmlab.commands.guard import guarded

    sys.exit(guarded(app))


if __name__ == "__main__":
    main()
