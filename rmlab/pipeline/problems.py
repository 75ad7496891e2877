"""Problems that would stop a run, gathered while it is planned, so that all of them are told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar

from rmlab.errors import USAGE, RmlabError, together
from rmlab.storage.digest import digest

T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """One problem. kind: settings, which are wrong or do not go together, or missing, such as a model or a
    package; message: what is wrong; mend: what to do about it, empty where the message says that too."""

    kind: Literal["settings", "missing"]
    message: str
    mend: str

    @classmethod
    def of(cls, error: RmlabError) -> Problem:
        message, _, mend = str(error).partition("; ")
        return cls("settings" if error.exit_code == USAGE else "missing", message, mend)


class Problems:
    """The problems that were found so far, each once."""

    def __init__(self) -> None:
        self._errors: dict[str, RmlabError] = {}
        self._results: dict[str, Any] = {}
        self.unfound: set[tuple[str, str | None]] = set()  # models that were looked for, and their revisions
        self.notes: list[str] = []  # what will go wrong without stopping the run

    def add(self, error: RmlabError) -> None:
        for one in error.errors:
            self._errors.setdefault(str(one), one)

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Adds the error that is raised within, if there is one, and goes on."""
        try:
            yield
        except RmlabError as error:
            self.add(error)

    def once(self, check: str, of: Any, make: Callable[[], T]) -> T:
        """Returns what a check found, which is made once for all that it is the same `of`."""
        key = digest([check, of])
        if key not in self._results:
            self._results[key] = make()
        return self._results[key]

    @contextmanager
    def aside(self) -> Iterator[list[RmlabError]]:
        """Within, errors are added to the list that this yields, and not to the other problems."""
        kept, self._errors = self._errors, {}
        found: list[RmlabError] = []
        try:
            yield found
        finally:
            found.extend(self.errors)
            self._errors = kept

    @property
    def errors(self) -> list[RmlabError]:
        return list(self._errors.values())

    def to_json(self) -> list[dict[str, str]]:
        return [asdict(Problem.of(error)) for error in self.errors]

    def raise_all(self) -> None:
        """Raises one error that tells all problems; does nothing if there are none."""
        if errors := self.errors:
            raise together(errors)


_gathered: ContextVar[Problems | None] = ContextVar("gathered", default=None)


@contextmanager
def gathering() -> Iterator[Problems]:
    """Within, `report` gathers problems and does not raise them. An error that ends the planning is the last
    of them, and all are raised."""
    problems = Problems()
    token = _gathered.set(problems)
    try:
        yield problems
    except RmlabError as error:
        problems.add(error)
        problems.raise_all()
    finally:
        _gathered.reset(token)


def gathered() -> Problems | None:
    """Returns the problems that are being gathered; None where errors are raised."""
    return _gathered.get()


def report(error: RmlabError) -> None:
    """Adds an error to the problems that are being gathered, or raises it where none are."""
    problems = _gathered.get()
    if problems is None:
        raise error
    problems.add(error)


@contextmanager
def reported() -> Iterator[None]:
    """Reports the error that is raised within, if there is one."""
    try:
        yield
    except RmlabError as error:
        report(error)
