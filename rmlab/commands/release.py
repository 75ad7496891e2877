"""rmlab release: the artifacts of an experiment as an embedding set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rmlab.artifacts.files import plain
from rmlab.artifacts.set_record import EmbeddingSet, open_set
from rmlab.commands.run import command_line
from rmlab.errors import RmlabError
from rmlab.execute import Outcome, run_nodes
from rmlab.releasing import plan_release, words_of
from rmlab.sets.folder import check_free, new_set_folder
from rmlab.sets.validate import validate
from rmlab.sets.write import write_set


def release_command(
    out: Path, overrides: Sequence[str], dry_run: bool, as_json: bool, force: bool, config_dir: Path | None
) -> None:
    plan = plan_release(overrides, config_dir)
    words = words_of(plan.settings, out.resolve().name)
    is_made = plan.is_made(out, words) and not force
    if not is_made:
        check_free(out, force)
    if dry_run:
        outcomes = [Outcome.expected(n) for n in plan.nodes]
        _show(out, outcomes, None, "already" if is_made else "planned", as_json)
        return
    outcomes = [] if is_made else run_nodes(plan.nodes, command_line())
    if not is_made:
        with new_set_folder(out, force) as folder:
            write_set(folder, plan.sources(), words)
            _check(folder)
    _show(out, outcomes, open_set(out), "already" if is_made else "done", as_json)


def _check(folder: Path) -> None:
    """What `rmlab validate` would refuse is not released."""
    for failure in validate(folder).failures[:1]:
        raise RmlabError(f"the set would not be valid: {failure}")


def _show(out: Path, outcomes: list[Outcome], made: EmbeddingSet | None, state: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps(plain(_document(out, outcomes, made, state)), indent=2, ensure_ascii=False))
        return
    if outcomes:
        from rmlab.commands.tables import print_stages

        print_stages(outcomes)
    if made is None:
        print(f"set: {out} ({state})")
    else:
        print(f"set: {out} ({state}), {summary(made)}")
        print(f"next: rmlab run experiment=embedding_set input={out}")


def summary(made: EmbeddingSet) -> str:
    """What is in a set, in a line."""
    parts = [f"{k} {', '.join(made.names(k))}" for k in ("policies", "rewards", "embedders")]
    n = sum(policy.responses for policy in made.record.policies)
    size = sum(file.bytes for file in made.record.files.values())
    return f"{n:,} responses, {size / 1e6:.1f} MB; {'; '.join(parts)}"


def _document(out: Path, outcomes: list[Outcome], made: EmbeddingSet | None, state: str) -> dict[str, Any]:
    found: dict[str, Any] = {"set": str(out), "state": state, "stages": [o.to_json() for o in outcomes]}
    return found | ({"record": made.record.to_json()} if made else {})
