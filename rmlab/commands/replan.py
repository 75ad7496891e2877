"""What a command that made artifacts would make now."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rmlab.artifacts.manifest import Manifest
from rmlab.commands.importing import planned_import, quoted
from rmlab.compute import available_cores
from rmlab.config import load_settings
from rmlab.errors import InputError, RmlabError
from rmlab.grid import points
from rmlab.home import home_path
from rmlab.pipeline import in_order, load_arms, plan
from rmlab.plan import Node
from rmlab.releasing import plan_release
from rmlab.study.finding import load_findings
from rmlab.studying import plan_study
from rmlab.sweeping import plan_sweep

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
