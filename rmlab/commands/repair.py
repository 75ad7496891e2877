"""rmlab verify --repair: making again the bad parts of an artifact, and nothing else."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rmlab.commands.importing import planned_import, quoted
from rmlab.config.grid import points
from rmlab.config.hydra import load_settings
from rmlab.errors import InputError, RmlabError
from rmlab.models.compute import available_cores
from rmlab.paths import home_path
from rmlab.pipeline.node import Node
from rmlab.pipeline.plan import in_order, load_arms, plan
from rmlab.pipeline.run import run_nodes
from rmlab.pipeline.verify import Ages, Verified, artifacts_of, verify
from rmlab.sets.plan import plan_release
from rmlab.storage.artifact import finished
from rmlab.storage.files import write_text
from rmlab.storage.manifest import COPY, MANIFEST, Manifest, read_manifest
from rmlab.storage.writer import writing
from rmlab.study.finding import load_findings
from rmlab.study.plan import plan_study
from rmlab.sweeps.plan import plan_sweep

Parse = Callable[[Sequence[str]], tuple[str, Mapping[str, Any]]]
"""A command line without `rmlab` -> the command and its parameters by name."""


@contextmanager
def where_it_was_given(manifest: Manifest) -> Iterator[None]:
    """Relative paths of a command are those of the folder that it was given in."""
    before = Path.cwd()
    if manifest.folder and Path(manifest.folder).is_dir():
        os.chdir(manifest.folder)
    try:
        yield
    finally:
        os.chdir(before)


def node_of(path: Path, manifest: Manifest, parse: Parse) -> Node:
    """The node of the artifact at this place; InputError where the command would not make it any more."""
    out = path.parent.parent.absolute()
    try:
        nodes = _nodes(manifest.command, out, parse)
    except RmlabError as error:
        raise InputError(f"{path} cannot be made again by `{manifest.command}`: {error}") from None
    for node in nodes:
        if node.stage == path.parent.name and path.name.endswith(f"-{node.fingerprint[:16]}"):
            return node
    raise InputError(
        f"{path} cannot be made again: `{manifest.command}` asks for something else now, since a file or a "
        "setting changed; give that command to make what it asks for"
    )


def command_here(path: Path, manifest: Manifest, parse: Parse) -> str:
    """The command of an artifact, with `out` where it lies now if it was moved since."""
    out = path.parent.parent.absolute()
    try:
        _, given = _read(manifest.command, parse)
        wanted = [text for text in given.get("overrides") or [] if text.startswith("out=")]
        made_in = Path(manifest.folder) / home_path(load_settings(wanted, given.get("config_dir")).out)
    except RmlabError:
        return manifest.command
    return manifest.command if made_in == out else f"{manifest.command} out={quoted(str(out))}"


def _read(command: str, parse: Parse) -> tuple[str, Mapping[str, Any]]:
    try:
        return parse(shlex.split(command)[1:])
    except ValueError as error:
        raise InputError(f"the command cannot be read ({error})") from None


def _nodes(command: str, out: Path, parse: Parse) -> list[Node]:
    """Artifacts may have been moved since: they are made again where they lie now."""
    name, given = _read(command, parse)
    config_dir = given.get("config_dir")
    overrides = [*(given.get("overrides") or []), f"out={quoted(str(out))}"]
    if name == "sweep":
        return in_order(plan_sweep(points(overrides, config_dir), available_cores()))
    if name == "reproduce":
        findings = load_findings(given["only"] or [], config_dir)
        all_setups = bool(given.get("all_setups"))
        planned = plan_study(findings, overrides, available_cores(), config_dir, all_setups=all_setups)
        return in_order(planned)
    if name == "import":
        return planned_import(given["source"], overrides, config_dir).nodes
    if name == "release":
        return plan_release(overrides, config_dir).nodes
    return plan(load_arms(overrides, config_dir))


def repaired(finding: Verified, parse: Parse) -> str:
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
