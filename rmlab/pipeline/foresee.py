"""Looks for all that would stop a run before it begins: each stage has its own checks, in `foresee`."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterable, Sequence

from rmlab.config.components import build, component_name
from rmlab.config.fitting import Component
from rmlab.config.optional_packages import require
from rmlab.config.settings import Settings
from rmlab.errors import USAGE, ConfigError, InputError, RmlabError
from rmlab.models.compute import Compute, check_device
from rmlab.models.weights import check_available
from rmlab.paths import home_path, nearest
from rmlab.pipeline.node import Node
from rmlab.pipeline.problems import Problems
from rmlab.pipeline.run import check_input
from rmlab.pipeline.stages import BY_NAME, CROSSVAL, FIT_RM
from rmlab.pipeline.state import States

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def foresee(
    nodes: Sequence[Node], problems: Problems, force: bool = False, alone: bool = False
) -> list[Node]:
    """Adds all that would stop a run of these nodes to the problems; returns the nodes that it would make.

    force, alone: as for `run_nodes`.
    """
    states, left = States(), []
    for node in nodes:
        state = states.of(node).name
        if state in ("damaged", "unreadable") and not force:
            problems.add(InputError(states.of(node).why))
        elif state != "done" or force:
            left.append(node)
    for settings in {node.settings.out: node.settings for node in left}.values():
        with problems.caught():
            check_out(settings.out)
    made = {node.fingerprint for node in left}
    of_arms: dict[str, tuple[RmlabError, list[str]]] = {}
    for node in left:
        if alone:
            _check_inputs(node, made, states, problems)
        _check_models(node, problems)
        _check_heads(node, problems)
        with problems.aside() as errors:
            _check_stage(node, problems)
        for error in errors:
            if node.stage == FIT_RM.name and error.exit_code == USAGE:
                of_arms.setdefault(str(error), (error, []))[1].append(node.name)
            else:
                problems.add(error)
    n_arms = sum(node.stage == FIT_RM.name for node in left)
    for error, arms in of_arms.values():
        problems.add(error if len(arms) == n_arms else _of_arms(error, arms))
    return left


def _check_stage(node: Node, problems: Problems) -> None:
    """Runs the stage's own checks, if it has any."""
    stage = BY_NAME[node.stage]
    if stage.has_checks:
        importlib.import_module(stage.module).foresee(node, problems)


def _check_heads(node: Node, problems: Problems) -> None:
    """Checks what the heads need that a node fits or reads."""
    fits = [node] if node.stage in (FIT_RM.name, CROSSVAL.name) else []
    for one in [*fits, *(upstream for upstream in node.inputs.values() if upstream.stage == FIT_RM.name)]:
        foresee_heads(one.settings, problems)


def _of_arms(error: RmlabError, arms: Sequence[str]) -> RmlabError:
    """Says which arms have the problem, where others have not."""
    return type(error)(f"{'arm' if len(arms) == 1 else 'arms'} {', '.join(arms)}: {error}")


def _check_inputs(node: Node, made: Iterable[str], states: States, problems: Problems) -> None:
    """Looks for inputs that are not done; one command may make several of them, and is told once."""
    told: set[str] = set()
    for upstream in node.inputs.values():
        command = BY_NAME[upstream.stage].typed
        if upstream.fingerprint in made or command in told:
            continue
        with problems.aside() as errors, problems.caught():
            check_input(upstream, node, states)
        for error in errors:
            told.add(command)
            problems.add(error)


def _check_models(node: Node, problems: Problems) -> None:
    for source in node.sources.values():
        if source.kind == "model" and not source.is_missing:
            with problems.caught():
                check_available(source.name)


def check_local(out: str) -> None:
    """Raises ConfigError for a place that is no folder of this machine."""
    if _ADDRESS.match(out):
        raise ConfigError(
            f"out={out} is no local folder; give one, such as out=artifacts, and copy it where you want it"
        )


def check_out(out: str) -> None:
    """Raises an error unless artifacts can be written into `out`, a local folder that may not exist yet."""
    check_local(out)
    there = nearest(home_path(out).absolute())
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"out={out}: nothing can be written into {there}; give another folder")


def foresee_component(component: Component, where: str, settings: Settings, problems: Problems) -> None:
    """Checks what a component needs of this machine: packages, a device, what its `check_machine` asks.

    where: the setting that names it, such as sampler or golden.sentiment.
    """
    built = build(component, settings.allow_modules, where)
    group = where.partition(".")[0] if where.startswith("golden.") else where
    name = component_name(component, settings.allow_modules, where)
    with problems.caught():
        require(f"{group}={name}", *getattr(built, "needs", ()))
    if getattr(built, "runs_model", False):
        with problems.caught():
            check_device(settings.device)
    if check := getattr(built, "check_machine", None):
        with problems.caught():
            check(Compute(settings.dtype, settings.device, settings.trust_remote_code, settings.revision))


def foresee_heads(settings: Settings, problems: Problems) -> None:
    """Checks what the head of these settings needs, and that of its teacher."""
    foresee_component(settings.head, "head", settings, problems)
    if settings.teacher.n is not None:
        foresee_component(settings.teacher.head, "teacher.head", settings, problems)
