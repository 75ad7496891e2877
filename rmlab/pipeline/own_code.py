"""The user's own code: the modules that a module reaches by its imports, found without running anything.

What a user's function or component computes depends on its module, on those that this imports, and so on.
Modules count by their content, and those of installed packages by the package's version, or, if the function
itself is in one, by its version and files. Imports are read from the source, those within functions too.
"""

from __future__ import annotations

import ast
import sysconfig
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.machinery import all_suffixes
from importlib.util import find_spec, resolve_name
from pathlib import Path

from rmlab.pipeline.packages import identity_of, packages_of_modules, plain_name, version_of
from rmlab.storage.digest import digest, file_digest

_INSTALLED = {"site-packages", "dist-packages"}
_STANDARD = tuple({Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")})
_LIBRARY = "rmlab"  # changes of its code raise the versions of its stages instead
_IMPORT = {"import_module", "__import__"}
_SHOWN = 3
_RUN = {"exec", "spec_from_file_location", "run_path", "run_module"}


@dataclass(frozen=True)
class OwnCode:
    """files: of the user's modules, in the order of their names; packages: identity by name of each installed
    package that they import; unseen: what imports in ways that cannot be read."""

    files: tuple[str, ...]
    packages: Mapping[str, str]
    unseen: tuple[str, ...]

    @property
    def warning(self) -> str:
        """Words for the user on the code that counts, and on what may change without notice."""
        named = ", ".join(self.unseen[:_SHOWN]) + (" and others" if self.unseen[_SHOWN:] else "")
        more = f", or what {named} brings in" if named else ""
        files = "1 file" if len(self.files) == 1 else f"{len(self.files)} files"
        return (
            f"counts by its code ({files}) and by the versions of the packages that this "
            f"imports; what else it reads (data files, the network{more}) does not count: after a change "
            "there, use --force"
        )


def code_identity(files: Sequence[str]) -> str:
    return f"sha256:{digest([file_digest(Path(file)) for file in files])}"


def own_code(module: str, *others: str) -> OwnCode:
    """The code that these modules reach, as their files are now.

    module: that of the dotted path in the settings; others: further ones that define what it names.
    """
    walk = _Walk(module.partition(".")[0])
    walk.add([module, *others])
    files = tuple(dict.fromkeys(str(walk.files[name]) for name in sorted(walk.files)))
    unseen = tuple(dict.fromkeys(walk.unseen)) if files or walk.packages else (module,)
    return OwnCode(files, dict(sorted(walk.packages.items())), unseen)


@dataclass
class _Walk:
    """The modules seen so far. root: the top-level module that is the user's own even if it is installed."""

    root: str
    files: dict[str, Path] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)
    unseen: list[str] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def add(self, modules: Sequence[str]) -> None:
        left = list(modules)
        while left:
            name = left.pop()
            if name and name not in self._seen:
                self._seen.add(name)
                left.append(name.rpartition(".")[0])  # the packages around a module are imported before it
                left.extend(self._visit(name))

    def _visit(self, name: str) -> tuple[str, ...]:
        """Takes a module in, and returns the names that it imports, which need not all be modules."""
        top = name.partition(".")[0]
        place = _located(name)
        if top == _LIBRARY or place is None or _is_standard(place.any):
            return ()
        known = packages_of_modules().get(top, ())
        if known and _INSTALLED & set(place.any.parts):
            identity = identity_of if top == self.root else version_of
            self.packages |= {plain_name(package): identity(package) for package in known}
            return ()
        if place.file is None:
            return ()
        if place.file.is_file():
            self.files[name] = place.file
        if place.file.suffix != ".py" or not place.file.is_file():  # compiled, or in an archive
            self.unseen.append(place.file.name)
            return ()
        imports = _imports(
            str(place.file), name if place.folders else name.rpartition(".")[0], file_digest(place.file)
        )
        self.unseen += imports.unseen
        return imports.names


@dataclass(frozen=True)
class _Imports:
    """names: those that a file imports; unseen: its imports of what no text names."""

    names: tuple[str, ...]
    unseen: tuple[str, ...]


@lru_cache(maxsize=4096)
def _imports(file: str, package: str, contents: str) -> _Imports:
    """Reads the imports of a file; none if it is no Python, which fails only where it is imported.

    contents: their digest, so that what is remembered is that of the file as it is.
    """
    names: list[str] = []
    unseen: list[str] = []
    for node in _nodes(Path(file)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute("." * node.level + (node.module or ""), package)
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Call):
            function = node.func
            called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            first = node.args[0] if node.args else None
            if called in _IMPORT and isinstance(first, ast.Constant) and isinstance(first.value, str):
                names.append(_absolute(first.value, package))
            elif called in _IMPORT | _RUN:
                unseen.append(f"{called} in {Path(file).name}:{node.lineno}")
    return _Imports(tuple(names), tuple(unseen))


def _absolute(name: str, package: str) -> str:
    """The absolute name of a relative one; "" for one that leads out of its package."""
    try:
        return resolve_name(name, package)
    except ImportError:
        return ""


def _nodes(file: Path) -> Iterator[ast.AST]:
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.walk(ast.parse(file.read_bytes()))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return iter(())


@dataclass(frozen=True)
class _Place:
    """The place of a module. file: None for a folder without __init__; folders: those of a package."""

    file: Path | None
    folders: tuple[Path, ...]

    @property
    def any(self) -> Path:
        return self.file or self.folders[0]


def _located(name: str) -> _Place | None:
    """The place of a module; None for what is built in, or is no module. Only the finders of its top-level
    module are asked: to ask for those below would import it."""
    top, *rest = name.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin in ("built-in", "frozen"):
        return None
    place = _place(
        Path(spec.origin) if spec.origin else None,
        [Path(folder) for folder in spec.submodule_search_locations or ()],
    )
    for part in rest:
        place = place and _below(place.folders, part)
    return place


def _place(file: Path | None, folders: Sequence[Path]) -> _Place | None:
    return _Place(file, tuple(folders)) if file or folders else None


def _below(folders: Sequence[Path], name: str) -> _Place | None:
    """The module of this name in the folders of a package, as Python looks for it."""
    for folder in folders:
        for stem, inside in ((folder / name / "__init__", [folder / name]), (folder / name, [])):
            for suffix in all_suffixes():
                file = stem.with_name(stem.name + suffix)
                if file.is_file():
                    return _place(file, inside)
    return _place(None, [folder / name for folder in folders if (folder / name).is_dir()])


def _is_standard(place: Path) -> bool:
    place = place.resolve()
    return not _INSTALLED & set(place.parts) and any(place.is_relative_to(folder) for folder in _STANDARD)
