"""Making again what is bad of an artifact, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from rmlab.artifacts.artifact import finished
from rmlab.artifacts.files import write_text
from rmlab.artifacts.manifest import COPY, MANIFEST, Manifest, read_manifest
from rmlab.artifacts.writer import writing
from rmlab.commands.replan import Parse, node_of, where_it_was_given
from rmlab.errors import InputError
from rmlab.execute import run_nodes
from rmlab.plan import Node
from rmlab.verifying import Ages, Finding, artifacts_of, verify


def repaired(finding: Finding, parse: Parse) -> str:
    """Makes a damaged artifact whole, and says how; InputError where that cannot be."""
    path, before = finding.path.absolute(), finding.manifest
    if before is None:
        if not _restored(path):
            return _made_without_manifest(path, parse)
        finding = verify(path, lambda n: None, Ages())
        before = finding.manifest
        if finding.state != "damaged" or before is None:
            return "its manifest was restored from the copy beside it"
    bad = {damage.name for damage in finding.damage}
    if bad == {COPY}:
        _write(path / COPY, path / MANIFEST)
        return "the copy of its manifest was written again"
    bad -= {COPY}  # which is written anew with the manifest
    with where_it_was_given(before):
        _make_again(path, node_of(path, before, parse), before, bad)
    return _what_was_done(path, before, bad)


def _make_again(path: Path, node: Node, manifest: Manifest, bad: Collection[str]) -> None:
    """Parts alone, where all files are parts. Nothing goes before the inputs are known to be there."""
    for upstream in node.inputs.values():
        upstream.open()
    in_parts = all(record.name.startswith("part-") for record in manifest.files)
    if in_parts:
        with writing(path) as writer:
            writer.reopen(manifest, bad)
    run_nodes([node], manifest.command, force=not in_parts)


def _what_was_done(path: Path, before: Manifest, bad: Collection[str]) -> str:
    after = finished(path)
    of_all = f"{len(bad)} of {len(before.files)} files"
    done = f"{of_all} were bad, and made again"
    if after.content == before.content:
        return f"{done}, equal to what they were"
    return f"{done}; they differ from what they were, so what was made of them is stale now"


def _restored(path: Path) -> bool:
    try:
        read_manifest(path, COPY)
    except InputError:
        return False
    _write(path / MANIFEST, path / COPY)
    return True


def _write(file: Path, source: Path) -> None:
    if file.is_dir():
        shutil.rmtree(file)
    write_text(file, source.read_text(encoding="utf-8"))


def _made_without_manifest(path: Path, parse: Parse) -> str:
    """Nothing tells any more what its files should be: it is made again, whole.

    The commands of the artifacts around it are asked which of them makes it.
    """
    for manifest in _around(path):
        with where_it_was_given(manifest):
            try:
                node = node_of(path, manifest, parse)
            except InputError:
                continue
            run_nodes([node], manifest.command, force=True)
            return "it was made again, whole"
    raise InputError(f"{path} has lost its manifest, and nothing beside it tells how it was made; remove it")


def _around(path: Path) -> Iterator[Manifest]:
    """A manifest of each command that made something in this folder of artifacts."""
    seen = set()
    for place in artifacts_of(path.parent.parent):
        try:
            manifest = finished(place)
        except InputError:
            continue
        if (manifest.command, manifest.folder) not in seen:
            seen.add((manifest.command, manifest.folder))
            yield manifest
