"""Running nodes: skip what is done, go on with what was begun, write the manifest last."""

from __future__ import annotations

import errno
import importlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rmlab.artifacts.artifact import Artifact, FileRecord, Manifest
from rmlab.artifacts.writer import Writer, writing
from rmlab.errors import InputError, RmlabError
from rmlab.plan import Node
from rmlab.progress import Progress
from rmlab.provenance import git_state, now, versions
from rmlab.stages.base import Job

RESULTS = "results.parquet"  # of a sweep


@dataclass(frozen=True)
class Outcome:
    """state: done (now), already (found done), or planned (dry run)."""

    node: Node
    state: str
    artifact: Artifact | None = None

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


def run_nodes(
    nodes: Iterable[Node], command: str, force: bool = False, quiet: bool = False, alone: bool = False
) -> list[Outcome]:
    """Runs nodes in order. `alone`: their inputs must be done already, as for a single stage's command."""
    return [_run(node, command, force, quiet, alone) for node in nodes]


def _run(node: Node, command: str, force: bool, quiet: bool, alone: bool) -> Outcome:
    if node.is_done and not force:
        return Outcome(node, "already", node.open())
    inputs = {role: _input(upstream, node, alone) for role, upstream in node.inputs.items()}
    with _disk_errors(node):
        return Outcome(node, "done", _execute(node, inputs, command, quiet, fresh=node.is_done))


def _input(upstream: Node, node: Node, alone: bool) -> Artifact:
    if alone and not upstream.is_done:
        name = "sample" if upstream.stage == "prompts" else upstream.stage.replace("_", "-")
        raise InputError(
            f"{node.stage} needs {upstream.stage} for these settings, which is not done: "
            f"run `rmlab {name}` with them first"
        )
    return upstream.open()


def _execute(node: Node, inputs: dict[str, Artifact], command: str, quiet: bool, fresh: bool) -> Artifact:
    """fresh: a finished artifact is made again; one that was begun goes on."""
    started = time.monotonic()
    label = node.stage.replace("_", "-") + (f" {node.name}" if node.stage in ("annotate", "fit_rm") else "")
    with writing(node.folder, fresh) as writer, Progress(label, quiet=quiet) as progress:
        progress.say("starts")
        job = _job(node, inputs, writer, progress)
        importlib.import_module(f"rmlab.stages.{node.stage}").run(job)
        progress.close()
        seconds = time.monotonic() - started

        def manifest(files: list[FileRecord]) -> Manifest:
            rows = sum(f.rows for f in files if f.name.startswith("part-") or f.name == RESULTS)
            return Manifest(
                stage=node.stage,
                name=node.name,
                version=node.version,
                fingerprint=node.fingerprint,
                config=dict(node.config),
                inputs=node.input_records(),
                files=files,
                rows=rows,
                counts=writer.counts,
                metrics=writer.metrics,
                warnings=writer.warnings,
                seconds=seconds,
                created=now(),
                command=command,
                versions=versions(),
                git=git_state(),
            )

        writer.commit(manifest)
        for warning in writer.warnings:
            progress.say(f"warning: {warning}")
        progress.say(f"done in {seconds:,.1f} s{_speed(writer.counts, seconds)}")
    return node.open()


def _job(node: Node, inputs: dict[str, Artifact], writer: Writer, progress: Progress) -> Job:
    config = dict(node.config)
    return Job(node.name, node.fingerprint, node.settings, config, inputs, writer, progress, node.grid)


def _speed(counts: dict[str, int | float], seconds: float) -> str:
    tokens = counts.get("tokens") or counts.get("response_tokens")
    rows = counts.get("responses")
    if not rows:
        return ""
    return f", {rows:,} responses" + (f", {tokens / max(seconds, 1e-9):,.0f} tokens/s" if tokens else "")


class _disk_errors:
    """A full or read-only disk as one line; what was written before it stays."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if not isinstance(error, OSError) or isinstance(error, FileNotFoundError):
            return
        place, text = self.node.folder.parent.parent, (error.strerror or str(error)).lower()
        if error.errno in (errno.ENOSPC, errno.EDQUOT) or "no space left" in str(error).lower():
            text = "no space left on the disk"
        elif error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG):
            return
        raise RmlabError(
            f"{self.node.stage}: {text} ({place}); what is done is kept; mend it, run the same command"
        ) from None
