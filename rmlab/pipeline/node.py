"""A node is one run of a stage, with its configuration, inputs and fingerprint; that of a sweep has cells."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from rmlab.config.components import component_class, imported, meaningful
from rmlab.config.fitting import Component
from rmlab.config.settings import Settings
from rmlab.data.dataset_rows import dataset_identity, is_dataset
from rmlab.errors import ConfigError, InputError, RmlabError
from rmlab.models.weights import find_model
from rmlab.paths import PREFIX, home_path, user_path
from rmlab.pipeline.own_code import code_identity, own_code
from rmlab.pipeline.packages import identity_of, plain_name
from rmlab.pipeline.problems import gathered, report
from rmlab.pipeline.state import State, States
from rmlab.storage.artifact import Artifact, folder_of
from rmlab.storage.digest import fingerprint
from rmlab.storage.integrity import file_digest_of, folder_digest_of
from rmlab.storage.manifest import InputRecord


@dataclass(frozen=True)
class Cell:
    """One combination of a sweep's grid: a head that is fitted and judged.

    fingerprint: that of everything that decides its result row; data: a name for the artifacts that it reads.
    axes: its value on each axis of the grid, as typed, without axes that do not concern it.
    """

    fingerprint: str
    data: str
    axes: Mapping[str, str]
    settings: Settings


@dataclass(frozen=True)
class Known:
    """The row of a cell that an earlier sweep has done, and the content of each input that it read, by
    role."""

    row: Mapping[str, Any]
    made_of: Mapping[str, str]

    def is_of(self, data: str, now: Mapping[str, str]) -> bool:
        """True if its inputs for this data had the content that they have now."""
        roles = [role for role in now if role.endswith(f":{data}")]
        return all(self.made_of.get(role) == now[role] for role in roles)


@dataclass(frozen=True)
class Grid:
    """The cells of a sweep. known: rows that earlier sweeps have done; made_by: data -> overrides that make
    it."""

    cells: Sequence[Cell]
    axes: Sequence[str]
    workers: int
    known: Sequence[Known] = ()
    made_by: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def data(self) -> list[str]:
        return list(dict.fromkeys(cell.data for cell in self.cells))

    @property
    def left(self) -> list[Cell]:
        """The cells that no earlier sweep has done."""
        known = {known.row["cell"] for known in self.known}
        return [cell for cell in self.cells if cell.fingerprint not in known]


_MISSING = "missing:"  # begins the identity of a source that is not there


@dataclass(frozen=True)
class Source:
    """Something that a stage reads from outside the artifacts, such as a file or a model."""

    kind: str  # file, folder, dataset, model, code or package
    name: str
    identity: str
    files: tuple[str, ...] = ()  # those of code
    warning: str = ""  # what of it the identity cannot hold

    @property
    def is_missing(self) -> bool:
        """True if it is not there, or cannot be read; such a source is planned with, and never read."""
        return self.identity.startswith(_MISSING)

    @property
    def place(self) -> str:
        """The path or name by which it is found again."""
        return os.pathsep.join(self.files) or self.name


@dataclass(frozen=True)
class Node:
    """One run of a stage. config: the settings that decide its result, which make up its fingerprint."""

    stage: str
    version: int
    name: str
    config: Mapping[str, Any]
    inputs: Mapping[str, Node]
    sources: Mapping[str, Source]
    settings: Settings = field(repr=False)
    grid: Grid | None = field(default=None, repr=False)  # for a sweep

    @cached_property
    def fingerprint(self) -> str:
        known = {role: node.fingerprint for role, node in self.inputs.items()}
        outside = {f"source:{role}": source.identity for role, source in self.sources.items()}
        return fingerprint(self.stage, self.version, self.config, {**known, **outside})

    @property
    def sweep_grid(self) -> Grid:
        if self.grid is None:
            raise RmlabError(f"{self.name} has no grid; run it by `rmlab sweep`")
        return self.grid

    @property
    def folder(self) -> Path:
        """The folder of the artifact with this fingerprint, whatever its name, or the one that it will
        have."""
        root = home_path(self.settings.out) / self.stage
        return folder_of(root, self.fingerprint) or root / f"{self.name}-{self.fingerprint[:16]}"

    @property
    def state(self) -> State:
        return States().of(self)

    @property
    def is_done(self) -> bool:
        return self.state.name == "done"

    def open(self, states: States | None = None) -> Artifact:
        """The finished artifact; raises an InputError if it is missing, stale or damaged."""
        state = (states or States()).of(self)
        if state.name == "done" and state.artifact:
            return state.artifact
        if state.name in ("damaged", "unreadable"):
            raise InputError(state.why)
        why = f" ({state.why})" if state.why else ""
        raise InputError(f"{self.stage} is {state.name}{why}: {self.folder}; run its stage again")

    def input_records(self, made_of: Mapping[str, str]) -> list[InputRecord]:
        """The manifest's records of all inputs and sources. made_of: the content of each input, by role."""
        inside = [
            InputRecord(
                role,
                "artifact",
                f"{node.stage}/{node.name}",
                node.fingerprint,
                f"../../{node.stage}/{node.folder.name}",
                made_of[role],
            )
            for role, node in self.inputs.items()
        ]
        outside = [InputRecord(role, s.kind, s.name, s.identity, s.place) for role, s in self.sources.items()]
        return [*inside, *outside]


def file_source(path: str) -> Source:
    """A user's file, folder or dataset as a source, identified by its content."""
    try:
        return _file_source(path)
    except RmlabError as error:
        report(error)
        return Source("file", path, _MISSING + path)


def _file_source(path: str) -> Source:
    if not path:
        raise InputError("the path is empty; give a JSONL, CSV or Parquet file")
    file = user_path(path)
    if file.is_dir():
        return Source("folder", str(file.resolve()), f"sha256:{folder_digest_of(file.resolve())}")
    if is_dataset(file):
        return Source("dataset", path, _dataset_identity(file))
    if not file.is_file():
        raise InputError(f"{path} does not exist; give a JSONL, CSV or Parquet file")
    name = path if path.startswith(PREFIX) else str(file.resolve())
    return Source("file", name, f"sha256:{file_digest_of(file)}")


@lru_cache(maxsize=8)
def _dataset_identity(name: Path) -> str:
    return dataset_identity(name)


def model_source(name: str, revision: str | None, settings: Settings) -> Source:
    """A model as a source; one that is not there is looked for once, as a hub may take its time to answer."""
    problems = gathered()
    if problems is None or (name, revision) not in problems.unfound:
        try:
            return Source("model", name, find_model(name, revision, settings.trust_remote_code).identity)
        except RmlabError as error:
            report(error)
    if problems is not None:
        problems.unfound.add((name, revision))
    return Source("model", name, _MISSING + name)


def _component_code(cls: type, target: str, where: str) -> dict[str, Source]:
    """The code of a user's component. rmlab's own is no source: changes of it raise the version of its
    stage."""
    if cls.__module__.startswith("rmlab."):
        return {}
    return _code(cls.__module__, where, target.rpartition(".")[0], cls.__module__)


def _function_code(path: str, where: str, settings: Settings) -> dict[str, Source]:
    """The code of a user's function: the module of its dotted path, and the one that defines it."""
    if "." not in path:
        raise ConfigError(f"{where}: '{path}' is not a dotted path; write one, such as mymodule.reward")
    function = imported(path, settings.allow_modules, where)
    defined_in = getattr(function, "__module__", None)
    return _code(path, where, path.rpartition(".")[0], *([defined_in] if isinstance(defined_in, str) else []))


def _code(name: str, where: str, *modules: str) -> dict[str, Source]:
    """Code as sources, so that an edit makes again what was made with it: all that the modules import."""
    code = own_code(*modules)
    identity = code_identity(code.files) if code.files else name
    found = {f"{where}.code": Source("code", name, identity, code.files, f"{where}: {name} {code.warning}")}
    packages = {f"{where}.package-{n}": Source("package", n, known) for n, known in code.packages.items()}
    return found | packages


def described(component: Component, where: str, settings: Settings) -> tuple[Component, dict[str, Source]]:
    """A component's parameters that decide its results, and the files and models that it names, as
    sources."""
    values = meaningful(component, settings.allow_modules, where)
    cls = component_class(component, settings.allow_modules, where)
    sources = _component_code(cls, str(component["_target_"]), where)
    for package in getattr(cls, "packages", ()):
        name = plain_name(package)
        sources[f"{where}.package-{name}"] = Source("package", name, identity_of(name))
    for known in dataclasses.fields(cls):
        if known.metadata.get("source"):
            file = values.pop(known.name)
            if file is not None:
                sources[f"{where}.{known.name}"] = file_source(file)
        elif known.metadata.get("code"):
            place = f"{where}.{known.name}"
            sources |= _function_code(values[known.name], place, settings)
        elif known.metadata.get("model") and values[known.name] is not None:
            name = values.pop(known.name)
            sources[f"{where}.{known.name}"] = model_source(name, values.get("revision"), settings)
    return values, sources
