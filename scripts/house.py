"""Print the shape of a package: how large its files and functions are, and where its names are unclear.

python scripts/house.py             # of rmlab/
python scripts/house.py FOLDER --list   # of another package, with every file and name that is counted

Modules are the files other than __init__.py and __main__.py. Lines are all lines of a file, blank ones and
comments too; those of a function run from `def` to its end, and functions within functions count on their
own.
"""

from __future__ import annotations

import argparse
import ast
import re
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SMALL = 40  # lines of a small file, at most
# Words with which a docstring begins that is no sentence, but the rest of one.
UNFINISHED = re.compile(r"(What|Whether|Of|Where|How|Those|The same|As)\b")
NO_MODULES = ("__init__", "__main__")
MAY_REPEAT = "base"  # the one name that a module may have in every folder


@dataclass(frozen=True)
class File:
    """A file of the package: its dotted name, as in `rmlab.heads.base`, and what is in it."""

    path: Path
    name: str
    text: str
    tree: ast.Module

    @property
    def n_lines(self) -> int:
        return len(self.text.splitlines())

    @property
    def is_module(self) -> bool:
        return self.path.stem not in NO_MODULES

    def function_lines(self) -> list[int]:
        """The lines of each function and method."""
        return [
            _n_lines(n) for n in ast.walk(self.tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
        ]

    def classes(self) -> set[str]:
        return {node.name for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef)}

    def docstrings(self) -> Iterator[tuple[int, str]]:
        """The line of each thing that has a docstring, and the docstring."""
        kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        for node in ast.walk(self.tree):
            if isinstance(node, kinds) and (text := ast.get_docstring(node)):
                yield getattr(node, "lineno", 1), text

    def imported(self, known: Mapping[str, File]) -> set[str]:
        """The files of the package that this one imports anywhere, by their dotted names."""
        found: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                source = self._source(node)
                names = [f"{source}.{alias.name}" for alias in node.names]
                found |= {name if name in known else source for name in names}
        return found & known.keys() - {self.name}

    def _source(self, node: ast.ImportFrom) -> str:
        """The module that an import takes from, whether it is written in full or with dots."""
        if not node.level:
            return node.module or ""
        package = self.name.split(".") if self.path.stem == "__init__" else self.name.split(".")[:-1]
        above = package[: len(package) - node.level + 1]
        return ".".join([*above, *([node.module] if node.module else [])])


def _n_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def read_files(folder: Path) -> dict[str, File]:
    """All files of a package by their dotted names."""
    files = {}
    for path in sorted(folder.rglob("*.py")):
        words = [folder.name, *path.relative_to(folder).with_suffix("").parts]
        name = ".".join(words[:-1] if words[-1] == "__init__" else words)
        text = path.read_text(encoding="utf-8")
        files[name] = File(path, name, text, ast.parse(text, str(path)))
    return files


def importers(files: Mapping[str, File]) -> dict[str, list[str]]:
    """Who imports each file, by dotted names."""
    found: dict[str, list[str]] = defaultdict(list)
    for file in files.values():
        for name in file.imported(files):
            found[name].append(file.name)
    return found


@dataclass(frozen=True)
class Figure:
    """One line of the table, and what it counts, for those who want to see it."""

    label: str
    value: float
    counted: Sequence[str] = ()


def figures(folder: Path) -> list[Figure]:
    """The shape of the package in this folder."""
    files = read_files(folder)
    modules = [file for file in files.values() if file.is_module]
    functions = sorted(n for file in files.values() for n in file.function_lines())
    loose = [file.name for file in modules if file.path.parent == folder]
    small = [f"{file.name}: {file.n_lines}" for file in modules if file.n_lines <= SMALL]
    by_whom = importers(files)
    alone = [f"{f.name}: {by_whom[f.name][0]}" for f in modules if len(by_whom[f.name]) == 1]
    classes = _repeated((name, file.name) for file in files.values() for name in sorted(file.classes()))
    public = [line for line in classes if not line.startswith("_")]
    named = _repeated((f.path.stem, f.name) for f in modules if f.path.stem != MAY_REPEAT)
    begun = [
        f"{file.path.relative_to(folder.parent)}:{line}: {text.splitlines()[0]}"
        for file in files.values()
        for line, text in file.docstrings()
        if UNFINISHED.match(text)
    ]
    n_docstrings = sum(1 for file in files.values() for _ in file.docstrings())
    return [
        Figure("lines", sum(file.n_lines for file in files.values())),
        Figure("files", len(files)),
        Figure("modules (files but __init__ and __main__)", len(modules)),
        Figure("median lines of a module", _median([file.n_lines for file in modules])),
        Figure("functions", len(functions)),
        Figure("median lines of a function", _median(functions)),
        Figure("90th percentile of lines of a function", _percentile(functions, 0.9)),
        Figure("modules directly in the package", len(loose), loose),
        Figure(f"modules of {SMALL} lines or fewer", len(small), small),
        Figure("modules with exactly one importer", len(alone), alone),
        Figure("class names that two modules define", len(classes), classes),
        Figure("    of these public", len(public), public),
        Figure("module names in two folders, base excepted", len(named), named),
        Figure("docstrings", n_docstrings),
        Figure("docstrings that begin amid a sentence", len(begun), begun),
    ]


def _median(values: Sequence[int]) -> float:
    return statistics.median(values) if values else 0


def _percentile(ascending: Sequence[int], share: float) -> int:
    """The smallest value that this share of all values does not exceed."""
    return next((v for k, v in enumerate(ascending, 1) if k >= share * len(ascending)), 0)


def _repeated(pairs: Iterator[tuple[str, str]]) -> list[str]:
    """`name: place, place` for each name that is in several places."""
    places: dict[str, list[str]] = defaultdict(list)
    for name, place in pairs:
        places[name].append(place)
    return [f"{name}: {', '.join(found)}" for name, found in sorted(places.items()) if len(found) > 1]


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "rmlab", help="a package; rmlab/")
    parser.add_argument("--list", action="store_true", help="what is counted, too")
    given = parser.parse_args(words)
    found = figures(given.folder.resolve())
    width = max(len(figure.label) for figure in found)
    for figure in found:
        print(f"{figure.label:{width}}  {figure.value:>8,g}")
        for line in figure.counted if given.list else ():
            print(f"        {line}")
    if given.list:
        begins = Counter(_beginning(line) for line in found[-1].counted)
        print("docstrings by how they begin:", ", ".join(f"{word} {n}" for word, n in begins.most_common()))
    return 0


def _beginning(line: str) -> str:
    """The words that make a listed docstring one that begins amid a sentence."""
    match = UNFINISHED.match(line.split(": ", 1)[1])
    return match[0] if match else ""


if __name__ == "__main__":
    sys.exit(main())
