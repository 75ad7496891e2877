"""Running nodes: done ones are skipped, begun ones go on, the manifest is written last."""

from __future__ import annotations

import errno
import importlib
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rmlab.errors import InputError, RmlabError
from rmlab.logs import log
from rmlab.logs.progress import Progress
from rmlab.machine import is_of_shared_memory
from rmlab.pipeline import interrupts
from rmlab.pipeline.job import Job
from rmlab.pipeline.node import Node, file_source
from rmlab.pipeline.own_code import code_identity
from rmlab.pipeline.stages import BY_NAME
from rmlab.pipeline.state import States
from rmlab.provenance import git_state, now, versions
from rmlab.storage.artifact import Artifact
from rmlab.storage.digest import digest
from rmlab.storage.manifest import FileRecord, Manifest
from rmlab.storage.writer import Writer, tidy, writing

RESULTS = "results.parquet"  # of a sweep


@dataclass(frozen=True)
class Outcome:
    """state: done (now), already (found done), or starts (in the log alone); of a dry run planned, damaged or
    unreadable."""

    node: Node
    state: str
    artifact: Artifact | None = None

    @classmethod
    def expected(cls, node: Node, force: bool = False) -> Outcome:
        """The outcome that a dry run foretells; damage stays, since no run repairs it unasked."""
        state = "planned" if force else node.state.name
        return cls(node, {"done": "already", "damaged": state, "unreadable": state}.get(state, "planned"))

    def to_json(self) -> dict[str, Any]:
        made = self.artifact.manifest if self.artifact else None
        return {
            "stage": self.node.stage,
            "name": self.node.name,
            "state": self.state,
            "fingerprint": self.node.fingerprint,
            "path": str(self.node.folder),
            "rows": made.rows if made else None,
            "seconds": made.seconds if made else None,
            "counts": made.counts if made else {},
            "metrics": made.metrics if made else {},
            "warnings": made.warnings if made else [],
        }

    def record(self) -> None:
        """In the log; metrics are in the manifest."""
        log.event("node", **{k: v for k, v in self.to_json().items() if k != "metrics"})


def run_nodes(
    nodes: Iterable[Node], command: str, force: bool = False, quiet: bool = False, alone: bool = False
) -> list[Outcome]:
    """Runs nodes in order. `alone`: their inputs must be done already, as for a single stage's command."""
    outcomes: dict[str, Outcome] = {}
    wanted = list(nodes)
    for node in wanted[:1]:
        log.keep_in(node.settings.out, node.settings.model_dump(mode="json"))
    for group in _passes(wanted):
        for outcome in _run(group, command, force, quiet, alone):
            outcome.record()
            outcomes[outcome.node.fingerprint] = outcome
        interrupts.check()
    return [outcomes[node.fingerprint] for node in wanted]


def _passes(nodes: Iterable[Node]) -> list[list[Node]]:
    """Nodes that run together, at the place of the first: embeddings out of one pass over the texts."""
    found: dict[str, list[Node]] = {}
    for node in nodes:
        found.setdefault(_pass_of(node), []).append(node)
    return list(found.values())


def _pass_of(node: Node) -> str:
    stage = BY_NAME[node.stage]
    if not stage.shares_pass:
        return node.fingerprint
    pass_key = importlib.import_module(stage.module).pass_key
    inputs = {role: upstream.fingerprint for role, upstream in node.inputs.items()}
    sources = {role: source.identity for role, source in node.sources.items()}
    return digest([pass_key(node.settings, node.config), inputs, sources])


def _run(nodes: list[Node], command: str, force: bool, quiet: bool, alone: bool) -> list[Outcome]:
    """Runs the nodes of one pass, between a look at all that they read and one at what was made."""
    states = States()
    todo = [node for node in nodes if force or _is_left(node, states)]
    made: set[str] = set()
    if todo:
        inputs = {role: _input(upstream, todo[0], alone, states) for role, upstream in todo[0].inputs.items()}
        with _disk_errors(todo[0]):
            made = _execute(todo, inputs, command, quiet, force)
        states = States()
    for node in nodes:
        tidy(node.folder)
    return [Outcome(n, "done" if n.fingerprint in made else "already", n.open(states)) for n in nodes]


def _is_left(node: Node, states: States) -> bool:
    """Damage is not made good unasked: what is left of it may be wanted. What is unreadable may be whole."""
    state = states.of(node)
    if state.name in ("damaged", "unreadable"):
        raise InputError(state.why)
    return state.name != "done"


def _input(upstream: Node, node: Node, alone: bool, states: States) -> Artifact:
    if alone:
        check_input(upstream, node, states)
    return upstream.open(states)


def check_input(upstream: Node, node: Node, states: States) -> None:
    """Raises InputError if an input of a node that is run alone is not done."""
    state = states.of(upstream)
    if state.name in ("missing", "begun", "stale"):
        name = BY_NAME[upstream.stage].typed
        how = f"stale ({state.why})" if state.name == "stale" else "not done"
        raise InputError(
            f"{node.stage} needs {upstream.stage} for these settings, which is {how}: "
            f"run `rmlab {name}` with them first"
        )
    upstream.open(states)


def _execute(
    nodes: list[Node], inputs: dict[str, Artifact], command: str, quiet: bool, force: bool
) -> set[str]:
    """Makes what is left of the nodes, several in one pass; returns the fingerprints of what was made."""
    started = time.monotonic()
    with ExitStack() as stack:
        writers = [(node, stack.enter_context(writing(node.folder))) for node in nodes]
        made_of = {role: artifact.manifest.content for role, artifact in inputs.items()}
        left = [(node, writer) for node, writer in writers if _prepared(node, writer, made_of, force)]
        if not left:
            return set()
        first, writer_of_first = left[0]
        progress = stack.enter_context(Progress(_label(first), quiet=quiet))
        for node, _ in left:
            Outcome(node, "starts").record()
        progress.say("starts" if len(left) == 1 else f"starts, {len(left)} artifacts in one pass")
        _run_stage(first.stage, [_job(node, inputs, writer, progress) for node, writer in left])
        progress.close()
        seconds = time.monotonic() - started
        for node, writer in left:
            _check_unchanged(node, writer)
            writer.warnings += _of_code(node)
            writer.commit(partial(_manifest, node, writer, made_of, command, seconds))
        for warning in dict.fromkeys(w for _, writer in left for w in writer.warnings):
            progress.warn(warning)
        progress.say(f"done in {seconds:,.1f} s{_speed(writer_of_first.counts, seconds)}")
    return {node.fingerprint for node, _ in left}


def _prepared(node: Node, writer: Writer, made_of: dict[str, str], force: bool) -> bool:
    """Tells whether there is anything to do, now that nobody else is at it; what was begun goes on.

    An artifact that is there, whatever its state, stays until the new one is whole.
    """
    state = node.state
    if state.name == "done" and not force:
        return False
    writer.begin(made_of, replaces=state.name not in ("missing", "begun"))
    return True


def _check_unchanged(node: Node, writer: Writer) -> None:
    """A file that was edited while it was read gave rows of two versions, under the name of the first."""
    for source in node.sources.values():
        if source.kind in ("file", "folder") and file_source(source.name).identity != source.identity:
            writer.discard()
            raise InputError(f"{source.name} changed while {node.stage} read it; run the same command again")


def _of_code(node: Node) -> list[str]:
    """Warnings on the user's own code: what its identity lacks, and that it was edited meanwhile.

    An edit is no error, since the code that ran is mostly that which was imported at the start.
    """
    code = [source for source in node.sources.values() if source.kind == "code"]
    edited = [source for source in code if source.files and code_identity(source.files) != source.identity]
    return [source.warning for source in code if source.warning] + [
        f"{source.name} was edited while {node.stage} ran, which used what it had read; run it again with "
        "--force to be sure"
        for source in edited
    ]


def _label(node: Node) -> str:
    """The name of a node in progress lines."""
    name = node.stage.replace("_", "-")
    return f"{name} {node.name}" if BY_NAME[node.stage].has_several else name


def _run_stage(stage: str, jobs: list[Job]) -> None:
    module = importlib.import_module(BY_NAME[stage].module)
    if len(jobs) > 1:
        module.run_pass(jobs)
    else:
        module.run(jobs[0])


def _manifest(
    node: Node,
    writer: Writer,
    made_of: dict[str, str],
    command: str,
    seconds: float,
    files: list[FileRecord],
) -> Manifest:
    rows = sum(f.rows for f in files if f.name.startswith("part-") or f.name == RESULTS)
    return Manifest(
        stage=node.stage,
        name=node.name,
        version=node.version,
        fingerprint=node.fingerprint,
        config=dict(node.config),
        inputs=node.input_records(made_of),
        files=files,
        rows=rows,
        counts=writer.counts,
        metrics=writer.metrics,
        warnings=writer.warnings,
        seconds=seconds,
        created=now(),
        command=command,
        folder=str(Path.cwd()),
        place=str(writer.target.absolute()),
        rows_per_shard=writer.rows_per_shard,
        versions=versions(),
        git=git_state(),
    )


def _job(node: Node, inputs: dict[str, Artifact], writer: Writer, progress: Progress) -> Job:
    config = dict(node.config)
    return Job(node.name, node.fingerprint, node.settings, config, inputs, writer, progress, node.grid)


def _speed(counts: dict[str, int | float], seconds: float) -> str:
    tokens = counts.get("tokens") or counts.get("response_tokens")
    rows = counts.get("responses")
    if not rows:
        return ""
    return f", {rows:,} responses" + (f", {tokens / max(seconds, 1e-9):,.0f} tokens/s" if tokens else "")


@contextmanager
def _disk_errors(node: Node) -> Iterator[None]:
    """A full or read-only disk as one line; what was written before it stays."""
    try:
        yield
    except OSError as error:
        if is_of_shared_memory(error):
            raise
        if error.errno in (errno.ENOSPC, errno.EDQUOT) or "no space left" in str(error).lower():
            text = "no space left on the disk"
        elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG):
            text = (error.strerror or str(error)).lower()
        else:
            raise
        out = node.folder.parent.parent
        raise RmlabError(
            f"{node.stage}: {text} ({out}); what is done is kept; mend it, run the same command"
        ) from None
