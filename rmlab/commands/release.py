"""rmlab release, validate and merge: make, check and join embedding sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rmlab.commands.run import command_line
from rmlab.errors import ConfigError, InputError, RmlabError
from rmlab.paths import home_path, user_path
from rmlab.pipeline.foresee import foresee
from rmlab.pipeline.problems import gathering
from rmlab.pipeline.run import Outcome, run_nodes
from rmlab.removal import refuse_link
from rmlab.sets.checklist import OK, Checklist
from rmlab.sets.merge import merge
from rmlab.sets.plan import plan_release, words_of
from rmlab.sets.validate import validate
from rmlab.sets.write import Words, write_set
from rmlab.storage.files import plain, read_plain_text
from rmlab.storage.set_record import LICENSE, RECORD, EmbeddingSet, open_set
from rmlab.storage.staged_folder import clear_leftovers, only_writer, staged_folder
from rmlab.terminal import say, say_json


@contextmanager
def new_set_folder(target: Path, force: bool) -> Iterator[Path]:
    """Yields a folder beside the target that takes its place at the end.

    force: a set that is there already goes, once the new one is whole; any other folder is left alone.
    """
    check_free(target, force)
    with only_writer(target) as place:
        check_free(place, force)  # another process may have made it meanwhile
        with staged_folder(place) as folder:
            yield folder


def check_free(target: Path, force: bool) -> None:
    """InputError where something is in the way."""
    target = home_path(str(target))
    refuse_link(target)
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not (target / RECORD).is_file():
        raise InputError(f"{target} is there and is no embedding set; give another place")
    if not force:
        raise InputError(f"{target} is there already; give another place, or --force to replace it")


_SHOWN = 20  # failures printed for each check; --json has all


def release_command(
    out: Path, overrides: Sequence[str], dry_run: bool, as_json: bool, force: bool, config_dir: Path | None
) -> None:
    with gathering() as problems:
        plan = plan_release(overrides, config_dir)
        foresee(plan.nodes, problems)
        words = words_of(plan.settings, out.resolve().name)
    if not dry_run:
        clear_leftovers(out)
    is_made = plan.is_made(out, words) and not force
    if not is_made:
        with problems.caught():
            check_free(out, force)
    if not (is_made or dry_run):
        problems.raise_all()
    if dry_run:
        outcomes = [Outcome.expected(n) for n in plan.nodes]
        _show(out, outcomes, None, "already" if is_made else "planned", as_json)
        if not is_made:
            problems.raise_all()
        return
    outcomes = [] if is_made else run_nodes(plan.nodes, command_line())
    if not is_made:
        with new_set_folder(out, force) as folder:
            write_set(folder, plan.sources(), words)
            _check(folder)
    _show(out, outcomes, open_set(out), "already" if is_made else "done", as_json)


def _check(folder: Path) -> None:
    """Raises an error if `rmlab validate` would refuse the set."""
    for failure in validate(folder).failures[:1]:
        raise RmlabError(f"the set would not be valid: {failure}")


def _show(out: Path, outcomes: list[Outcome], made: EmbeddingSet | None, state: str, as_json: bool) -> None:
    if as_json:
        say_json(plain(_document(out, outcomes, made, state)))
        return
    if outcomes:
        from rmlab.commands.printing import print_stages

        print_stages(outcomes)
    if made is None:
        say(f"set: {out} ({state})")
    else:
        say(f"set: {out} ({state}), {summary(made)}")
        say(f"next: rmlab run experiment=embedding_set input={out}")


def _document(out: Path, outcomes: list[Outcome], made: EmbeddingSet | None, state: str) -> dict[str, Any]:
    found: dict[str, Any] = {"set": str(out), "state": state, "stages": [o.to_json() for o in outcomes]}
    return found | ({"record": made.record.to_json()} if made else {})


def summary(made: EmbeddingSet) -> str:
    """The content of a set in one line."""
    parts = [f"{k} {', '.join(made.names(k))}" for k in ("policies", "rewards", "embedders")]
    n = sum(policy.responses for policy in made.record.policies)
    size = sum(file.bytes for file in made.record.files.values())
    return f"{n:,} responses, {size / 1e6:.1f} MB; {'; '.join(parts)}"


def merge_command(out: Path, sets: Sequence[str], license: str | None, as_json: bool, force: bool) -> None:
    if len(sets) < 2:
        raise ConfigError("merge joins two sets or more: rmlab merge OUT SET SET")
    clear_leftovers(out)
    check_free(out, force)
    opened = [_opened(user_path(place)) for place in sets]
    words = _words(out.resolve().name, opened, license)
    with new_set_folder(out, force) as folder:
        merge(folder, opened, words)
        for failure in validate(folder).failures[:1]:
            raise InputError(f"the sets do not go together: {failure}")
    made = open_set(out)
    if as_json:
        document = {"set": str(out), "state": "done", "record": made.record.to_json()}
        say_json(plain(document))
    else:
        say(f"set: {out}, {summary(made)}")


def _opened(folder: Path) -> EmbeddingSet:
    for failure in validate(folder).failures[:1]:
        raise InputError(f"{folder} is not a valid embedding set: {failure}")
    return open_set(folder)


def _words(name: str, sets: Sequence[EmbeddingSet], license: str | None) -> Words:
    """The texts of the study: the given licence or the one that all sets share, and each licence text
    once."""
    names = list(dict.fromkeys(s.record.license for s in sets))
    if license is None and len({n.lower() for n in names}) > 1:
        raise InputError(
            f"the sets have different licences, {', '.join(names)}; give the one of the whole: --license NAME"
        )
    texts = dict.fromkeys(read_plain_text(s.folder / LICENSE) for s in sets)
    parts = "; ".join(dict.fromkeys(s.record.name for s in sets))
    chosen = names[0] if license is None else license
    return Words(name, chosen, "\n".join(texts), f"Merged from these embedding sets: {parts}.")


def validate_command(path: Path, as_json: bool) -> None:
    """Prints the list of checks; raises an InputError if one failed."""
    found = validate(user_path(str(path)))
    if as_json:
        say_json(plain(found.to_json()))
    else:
        _say(found)
    if n := len(found.failures):
        what = found.failures[0] if n == 1 else f"{n} failures, the first: {found.failures[0]}"
        raise InputError(f"{path} is not a valid embedding set: {what}")


def _say(found: Checklist) -> None:
    for check in found.checks:
        reason = f" ({check.skipped})" if check.skipped and check.state != OK else ""
        say(f"{check.state:>11}  {check.name}: {check.meaning}{reason}")
        for failure in check.failures[:_SHOWN]:
            say(f"{'':>13}{failure}")
        if len(check.failures) > _SHOWN:
            say(f"{'':>13}and {len(check.failures) - _SHOWN} more")
    for note in found.notes:
        say(f"{'note':>11}  {note}")
