"""Components: objects of the classes that `_target_` names in the settings, built from their parameters."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from rmlab.config.fitting import Component
from rmlab.errors import ConfigError
from rmlab.paths import shipped

_OWN = "rmlab."
NAME = "_name_"  # key of a component's name in the configuration that a manifest records


def build(component: Component, allow: Sequence[str] = (), where: str = "component") -> Any:
    """Makes a component, after checking the names and types of its parameters; nothing else makes one."""
    cls = component_class(component, allow, where)
    parameters = {k: v for k, v in component.items() if k != "_target_"}
    unknown = sorted(set(parameters) - {f.name for f in dataclasses.fields(cls) if f.init})
    if unknown:
        raise ConfigError(f"{where}.{unknown[0]}: {cls.__name__} has no such parameter")
    try:
        return _adapter(cls).validate_python(parameters)
    except ValidationError as error:
        raise ConfigError(first_problem(error, where)) from None


@lru_cache(maxsize=256)
def _adapter(cls: type) -> TypeAdapter:
    return TypeAdapter(cls)


def component_class(component: Component, allow: Sequence[str] = (), where: str = "component") -> type:
    """The dataclass that `_target_` names, if its module is rmlab's or on the allow-list."""
    target = component.get("_target_")
    if not isinstance(target, str) or "." not in target:
        raise ConfigError(f"{where} has no _target_: give it the dotted path of a class")
    found = imported(target, allow, where)
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise ConfigError(f"{where}: {target} is not a dataclass; components are dataclasses")
    return found


def imported(target: str, allow: Sequence[str], where: str) -> Any:
    """The object at a dotted path, if its module is rmlab's or on the allow-list."""
    if not any(target.startswith(prefix.rstrip(".") + ".") for prefix in (_OWN, *allow)):
        module = target.rpartition(".")[0]
        raise ConfigError(f"{where}: {target} is outside rmlab; allow it with 'allow_modules=[{module}]'")
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{where}: cannot import {target} ({error}){_path_hint(error.name)}") from None
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{where}: cannot import {target} ({error})") from None


def _path_hint(module: str | None) -> str:
    """Says where a module is looked for. The current folder is not on Python's path by itself, so that no
    file that happens to lie there is run."""
    top = (module or "").partition(".")[0]
    if not top or importlib.util.find_spec(top) is not None:
        return ""
    if any(Path(name).exists() for name in (top, f"{top}.py")):
        return f"; {top} lies in the current folder, in which Python looks only for: PYTHONPATH=. rmlab ..."
    return f"; install it, or name the folder that {top} lies in: PYTHONPATH=FOLDER rmlab ..."


def meaningful(component: Component, allow: Sequence[str] = (), where: str = "component") -> Component:
    """The component's name and the parameters that decide its results; run-time parameters are left out."""
    cls = component_class(component, allow, where)
    runtime = {f.name for f in dataclasses.fields(cls) if f.metadata.get("runtime")}
    values = dataclasses.asdict(build(component, allow, where))
    known = {k: v for k, v in values.items() if k not in runtime}
    return {NAME: component_identity(component, allow, where), **known}


def component_name(component: Component, allow: Sequence[str] = (), where: str = "component") -> str:
    """The name for people, such as bradley_terry; for a user's own component the name of its class."""
    cls = component_class(component, allow, where)
    return str(getattr(cls, "name", cls.__name__)) if _is_own(cls) else cls.__name__


def component_identity(component: Component, allow: Sequence[str] = (), where: str = "component") -> str:
    """The name that goes into fingerprints: for a component of rmlab its own name, which does not change when
    its module moves; for a user's component its dotted path."""
    cls = component_class(component, allow, where)
    return component_name(component, allow, where) if _is_own(cls) else str(component["_target_"])


def _is_own(cls: type) -> bool:
    return cls.__module__.startswith(_OWN)


def as_component(described: Mapping[str, Any], group: str) -> Component:
    """Turn the description that an artifact or a set recorded back into a component that can be built.

    group: the group of conf/ that the component belongs to.
    """
    known = {key: value for key, value in described.items() if key not in (NAME, "_target_")}
    name = recorded_name(described)
    target = name if "." in name else _own_targets(group).get(name)
    if target is None:
        raise ConfigError(f"{group}={name} is not known to this version of rmlab; make the artifact again")
    return {"_target_": target, **known}


def recorded_name(described: Mapping[str, Any]) -> str:
    """The identity of a recorded component. Records of rmlab 0.1.0 have the dotted path of its class instead;
    rmlab's own components then had a module of their name: rmlab.heads.mlp.Mlp was mlp."""
    if NAME in described:
        return str(described[NAME])
    path = str(described.get("_target_", ""))
    return path.rsplit(".", 2)[-2] if path.startswith(_OWN) else path


@lru_cache(maxsize=16)
def _own_targets(group: str) -> dict[str, str]:
    """The dotted path of each component of conf/GROUP, by the component's name."""
    files = sorted(shipped(f"conf/{group}").glob("*.yaml"))
    components = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in files]
    return {component_name(c): str(c["_target_"]) for c in components}


def first_problem(error: ValidationError, prefix: str = "") -> str:
    """The first error of a validation as one line: the setting, what is wrong, and the value given."""
    problem = error.errors()[0]
    where = ".".join([prefix, *map(str, problem["loc"])]).strip(".")
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    given = problem.get("input")
    if given is None and where == "prompts.path":  # which experiments with data of yours take from input=
        return f"{where} has no value: give the file or folder of your data, input=FILE"
    shown = f" (got {given!r})" if isinstance(given, str | int | float | bool | None) and where else ""
    return f"{where}: {message}{shown}" if where else message
