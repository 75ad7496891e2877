"""rmlab import: read preference data of any public form as prompts, responses and scores.

The whole file is checked before anything is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rmlab.commands.run import command_line
from rmlab.config.hydra import load_settings
from rmlab.config.quoting import override
from rmlab.config.settings import Settings
from rmlab.data.forms.arrays import check_vectors, open_arrays
from rmlab.data.forms.items import read_items
from rmlab.data.forms.recognise import ARRAYS, AUTO, recognise
from rmlab.data.forms.summary import Summary, summarise
from rmlab.data.splits import few_for_testing
from rmlab.errors import InputError
from rmlab.logs.records import shell_line
from rmlab.paths import user_path
from rmlab.pipeline.chain import data_nodes
from rmlab.pipeline.node import Node
from rmlab.pipeline.run import Outcome, run_nodes
from rmlab.storage.files import plain
from rmlab.terminal import say, say_json

_OF_PAIRS = (
    "hh",
    "preference",
    "votes",
)  # forms with two answers a record: their held-out accuracy is of use
_MOST = 20_000  # largest number of comparisons in the command that is suggested next


def import_command(
    source: str, overrides: Sequence[str], dry_run: bool, as_json: bool, force: bool, config_dir: Path | None
) -> None:
    planned = planned_import(source, overrides, config_dir)
    form, settings, nodes = planned.form, planned.settings, planned.nodes
    found = _checked(user_path(source), form, settings)
    outcomes = [Outcome.expected(n, force) for n in nodes]
    if not dry_run:
        outcomes = run_nodes(nodes, command_line(), force=force)
    then = shell_line(["rmlab", "run", *planned.arguments, *_comparisons(found, settings)])
    if as_json:
        made = {"import": asdict(found), "stages": [o.to_json() for o in outcomes], "next": then}
        say_json(plain(made))
        return
    taken = (
        f"read as the form {form}; name another with form=..." if settings.form == AUTO else f"form {form}"
    )
    say(f"{source}: {taken}", *_lines(found), *_places(outcomes), f"next: {then}")


@dataclass(frozen=True)
class Planned:
    """An import before it is made. arguments: those of the run that fits heads on it."""

    form: str
    arguments: list[str]
    settings: Settings
    nodes: list[Node]


def planned_import(source: str, overrides: Sequence[str], config_dir: Path | None) -> Planned:
    """Plans an import; with arrays, their vectors are imported too, unless another embedder is named."""
    arguments = _arguments(source, overrides, "imported")
    settings = load_settings(arguments, config_dir)
    form = recognise(user_path(source), settings.form, names=settings.columns)
    if form in _OF_PAIRS:
        arguments = _arguments(source, overrides, "human_preferences")
        settings = load_settings(arguments, config_dir)
    if form == ARRAYS and not any(o.startswith("embedder=") for o in overrides):
        arguments = _arguments(source, [*overrides, "embedder=arrays"], "imported")
        settings = load_settings(arguments, config_dir)
    nodes = {n.fingerprint: n for n in data_nodes(settings, embed=form == ARRAYS).values()}
    return Planned(form, arguments, settings, list(nodes.values()))


def _arguments(source: str, overrides: Sequence[str], experiment: str) -> list[str]:
    """experiment: the one that is run next, unless the overrides name another."""
    typed = any(o.startswith("experiment=") for o in overrides)
    return [*([] if typed else [f"experiment={experiment}"]), override("input", source), *overrides]


def _checked(path: Path, form: str, settings: Settings) -> Summary:
    """Reads and checks the whole file."""
    if form == ARRAYS:
        check_vectors(open_arrays(path))
    golden = settings.golden[settings.labelling]
    if golden.get("reward") is not None:
        raise InputError(
            f"{path}: an import takes each row for an answer, so with golden.{settings.labelling}.reward "
            "answers would count several times; keep the rows of one reward, and leave that setting out"
        )
    items = read_items(path, form, settings.unusable, golden.get("column", "score"), settings.columns)
    found = summarise(items, settings.prompts, settings.validation)
    if found.failed_scores == found.answers:
        raise InputError(
            f"{path}: no score is a finite number; name the scores' column with golden.file.column=..."
        )
    return found


def _comparisons(found: Summary, settings: Settings) -> list[str]:
    """Overrides for all comparisons within prompts, or for some across prompts if prompts have one answer
    each; none where the experiment takes all there are."""
    if found.fit_pairs and settings.comparisons.n is None:
        return []
    if found.fit_pairs:
        return [f"comparisons.n={min(found.fit_pairs, _MOST)}"]
    return ["pairing=cross_prompt", f"comparisons.n={max(1, min(found.train * 2, 2000))}"]


def _lines(s: Summary) -> list[str]:
    lines = [
        f"  {s.rows:,} rows -> {s.items:,} items with {s.answers:,} answers in {s.groups:,} groups",
        f"  {s.pairs:,} pairs and {s.ties:,} ties; {sum(s.left_out.values()):,} records left out",
        *(f"    left out: {n:,} ({reason})" for reason, n in s.left_out.items()),
        f"  {s.train:,} train and {s.test:,} test items; an answer has {s.median_words:g} words (median)",
    ]
    if few := few_for_testing(s.test):
        lines.append(f"  {few}")
    if s.parted:
        lines.append(f"  {s.parted:,} train items share a group with test items, and are left out")
    if s.failed_scores:
        lines.append(f"  {s.failed_scores:,} scores are not finite: neither fitted nor judged on")
    return lines


def _places(outcomes: Sequence[Outcome]) -> list[str]:
    return [f"  {o.node.stage}: {o.node.folder} ({o.state})" for o in outcomes]
