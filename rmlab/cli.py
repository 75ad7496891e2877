"""The command line: each command parses its options and calls a module of rmlab/commands/.

Settings are Hydra overrides at the end of a command.
"""

from __future__ import annotations

from typing import Annotated

import typer

from rmlab import __version__
from rmlab.commands import hub as hub_cli
from rmlab.commands import import_export as data_cli
from rmlab.commands import looking, serving
from rmlab.commands import sets as sets_cli
from rmlab.commands import suites as suites_cli
from rmlab.commands.help import StageCommand, WholeSummaries
from rmlab.commands.options import (
    AsJson,
    ConfigDir,
    DryRun,
    Force,
    Overrides,
    Workers,
)
from rmlab.pipeline.stages import STAGES, Stage
from rmlab.terminal import say

_HELP = """Tests recipes for reward models: run the language model once (sft, sample, annotate, embed), keep
the embeddings, fit and judge small heads on them in seconds each, on a CPU.

Settings follow a command:  rmlab fit-rm experiment=demo head=mlp seed=3

\b
Start with:  rmlab run experiment=smoke   (under a minute, no model)
then:        rmlab run experiment=demo    (a real language model, about 6 minutes on 2 cores)
"""
app = typer.Typer(
    help=_HELP,
    cls=WholeSummaries,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
)


def _version(value: bool) -> None:
    if value:
        say(f"rmlab {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        say(*context.get_help().splitlines())


def _stage(stage: Stage) -> None:
    """Adds the command of one stage; all of them take the same options."""

    def command(
        overrides: Overrides = None,
        dry_run: DryRun = False,
        as_json: AsJson = False,
        force: Force = False,
        config_dir: ConfigDir = None,
    ) -> None:
        from rmlab.commands.run import run_command

        run_command(stage, overrides or [], dry_run, as_json, force, config_dir)

    app.command(stage.typed, help=stage.summary, cls=StageCommand)(command)


for _each in STAGES:
    if not _each.command:
        _stage(_each)


@app.command()
def run(
    overrides: Overrides = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    force: Force = False,
    config_dir: ConfigDir = None,
) -> None:
    """Run all stages of an experiment; finished stages are skipped, interrupted ones are resumed."""
    from rmlab.commands.run import run_command

    run_command(None, overrides or [], dry_run, as_json, force, config_dir)


@app.command()
def sweep(
    overrides: Overrides = None,
    by: Annotated[
        list[str] | None,
        typer.Option("--by", help="Print the means of each value on this axis; may be repeated."),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    force: Force = False,
    config_dir: ConfigDir = None,
    workers: Workers = 0,
) -> None:
    """Fit and judge a head for every combination of settings, on embeddings that `rmlab run` has made.

    Commas make a grid:  rmlab sweep experiment=demo head=linear,mlp noise.error=0.05,0.2,0.38 seed=0,1,2

    results.parquet has a row for each combination (cell), and report.html shows them by each axis, with
    intervals over seeds and prompts. An interrupted sweep resumes at the next cell, and
    cells that another sweep has done are reused. --dry-run counts the cells and estimates the time.
    """
    from rmlab.commands.sweep import sweep_command

    raise typer.Exit(sweep_command(overrides or [], by or [], dry_run, as_json, force, config_dir, workers))


app.command("import")(data_cli.import_)
app.command()(data_cli.export)


@app.command()
def reproduce(
    overrides: Overrides = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Name of a finding to judge; may be repeated.")
    ] = None,
    all_setups: Annotated[
        bool, typer.Option("--all-setups", help="Judge every finding on all set-ups of an embedding set.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    force: Force = False,
    config_dir: ConfigDir = None,
    workers: Workers = 0,
) -> None:
    """Judge the findings of a study on your data: sweeps, effects with intervals, verdicts, a report.

    Findings are files in conf/study/ (your own: in the folder study of --config-dir):

      rmlab reproduce experiment=demo --only noise --only pairing

    Missing inputs of the sweep are made; finished stages and finished cells are skipped.
    """
    from rmlab.commands.reproduce import reproduce_command

    code = reproduce_command(
        overrides or [], only or [], all_setups, dry_run, as_json, force, config_dir, workers
    )
    raise typer.Exit(code)


@app.command(cls=StageCommand)
def frontier(
    overrides: Overrides = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    force: Force = False,
    config_dir: ConfigDir = None,
) -> None:
    """Draw golden reward over KL for policies that need no training: best-of-N and tilts, by every reward.

      rmlab frontier experiment=demo

      rmlab frontier experiment=demo head=mlp ensemble.members=5 arms=[]

      rmlab frontier experiment=embedding_set input=SET

    Cached samples and scores are all that it needs; heads that are missing are fitted first. Each policy has
    its KL from the reference, its golden reward and what its own reward promises, with intervals, and is
    marked where too few samples carry it. The tilt by the golden reward is the ceiling.
    """
    from rmlab.commands.frontier import frontier_command

    frontier_command(overrides or [], dry_run, as_json, force, config_dir)


app.command()(serving.score)
app.command()(suites_cli.bench)
app.command()(serving.serve)
app.command()(looking.settings)
app.command()(looking.status)
app.command()(looking.inspect)
app.command()(looking.verify)


@app.command()
def clean(
    words: Annotated[
        list[str] | None,
        typer.Argument(help="Artifacts (paths, names or fingerprints) in place of rules, and out=DIR."),
    ] = None,
    stale: Annotated[bool, typer.Option("--stale", help="Artifacts whose inputs or stage changed.")] = False,
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Artifacts begun and not done.")] = False,
    orphaned: Annotated[
        bool,
        typer.Option("--orphaned", help="Artifacts that no evaluation, report, sweep or study is made of."),
    ] = False,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than", help="Only what was not written to for so long, such as 12h, 30d or 8w."
        ),
    ] = None,
    cache: Annotated[
        bool, typer.Option("--cache", help="Converted models and digests in the cache.")
    ] = False,
    logs: Annotated[bool, typer.Option("--logs", help="Logs of commands that have ended.")] = False,
    remove: Annotated[
        bool, typer.Option("--remove", "--yes", help="Remove it, and not only show it.")
    ] = False,
    as_json: AsJson = False,
    config_dir: ConfigDir = None,
) -> None:
    """Show what need not be kept, and its size; with --remove, remove what is named or falls under a rule.

      rmlab clean                                   all that any rule finds, in artifacts/ and the cache

      rmlab clean --stale --unfinished --remove     after which `rmlab verify all` finds nothing stale

      rmlab clean --older-than 30d                  artifacts that old, of which nothing newer was made

      rmlab clean embed/hashing-0123456789abcdef    one artifact, whatever it is

    Nothing goes that another process is writing, or that no record of rmlab names: such files stay, and are
    named. With other rules, --older-than leaves what is younger.
    """
    from rmlab.commands.clean import CleanOptions, clean_command
    from rmlab.pipeline.unneeded import Rule

    rules: dict[Rule, bool] = {
        "stale": stale, "unfinished": unfinished, "orphaned": orphaned, "cache": cache, "logs": logs
    }  # fmt: skip
    chosen = tuple(name for name, is_chosen in rules.items() if is_chosen)
    clean_command(words or [], CleanOptions(chosen, older_than, remove), as_json, config_dir)


app.command()(sets_cli.release)
app.command(help=sets_cli.VALIDATE)(sets_cli.validate)
app.command()(sets_cli.merge)
app.command()(hub_cli.push)
app.command()(hub_cli.pull)
app.command()(looking.doctor)


def main() -> None:
    """The entry point. Expected failures end in one line and an exit code, never a traceback."""
    from rmlab.commands.guard import guarded
    from rmlab.pipeline import interrupts
    from rmlab.processes import use_safe_paths

    use_safe_paths()
    interrupts.leave(guarded(app))
