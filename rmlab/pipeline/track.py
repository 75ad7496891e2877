"""Tells a tracker of a run: its settings, the metrics of its stages, and its report.

A tracker changes no result and stops no run: it is in no fingerprint, and one that fails is left, with a
warning.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rmlab.config.components import build
from rmlab.config.optional_packages import require
from rmlab.config.settings import Settings
from rmlab.errors import one_line
from rmlab.logs import log
from rmlab.paths import home_path, without_folders
from rmlab.pipeline.run import Outcome
from rmlab.pipeline.stages import EVAL_RM, REPORT
from rmlab.storage.files import plain
from rmlab.terminal import note, output_as_notes
from rmlab.tracking.base import NoTracker, TrackedRun, Tracker

_SECRET = re.compile(r"token|secret|password|passwd|credential|api_?key|auth", re.IGNORECASE)
_GIVEN_SECRET = re.compile(rf"(\b[\w.]*(?:{_SECRET.pattern})[\w.]*=)[^\s,]+", re.IGNORECASE)
_SHORTEST = 6  # characters of an environment variable's value that is looked for in settings
_HIDDEN = "(left out)"
_PAGE = "report.html"
_UNFIT = re.compile(r"[^A-Za-z0-9_./ -]+")  # for names of metrics; MLflow takes no others


def tracker_of(settings: Settings) -> Tracker | None:
    """The tracker of these settings, None for track=none; an error where it cannot be used."""
    tracker: Tracker | NoTracker = build(settings.track, settings.allow_modules, "track")
    if isinstance(tracker, NoTracker):
        return None
    tracker.check()
    if tracker.needs:
        require(f"track={tracker.needs}", tracker.needs)
    return tracker


@contextmanager
def tracked(settings: Settings) -> Iterator[Callable[[Sequence[Outcome]], None]]:
    """Within, the experiment runs; yields what its outcomes are given to at the end."""
    tracker = tracker_of(settings)
    if tracker is None:
        yield lambda outcomes: None
        return
    to = _Careful(tracker, settings)
    try:
        yield to.outcomes
    except BaseException:
        to.end(False)
        raise
    to.end(True)


class _Careful:
    """A tracked run whose failures are warnings; after the first it is left alone."""

    def __init__(self, tracker: Tracker, settings: Settings) -> None:
        self._what = f"track={tracker.needs}"
        self._run: TrackedRun | None = None
        out = home_path(settings.out)
        shown = shown_settings(settings)
        self._run = self._try(lambda: tracker.begin(settings.name, shown, out))

    def outcomes(self, outcomes: Sequence[Outcome]) -> None:
        self._do(lambda run: run.log(metrics_of(outcomes)))
        for outcome in outcomes:
            page = outcome.node.folder / _PAGE
            if outcome.node.stage == REPORT.name and page.is_file():
                self._do(lambda run, page=page: run.file(page))  # type: ignore[misc]

    def end(self, succeeded: bool) -> None:
        self._do(lambda run: run.end(succeeded))

    def _do(self, act: Callable[[TrackedRun], None]) -> None:
        if (run := self._run) is not None:
            self._try(lambda: act(run))

    def _try(self, act: Callable[[], Any]) -> Any:
        """What trackers print on standard output goes to standard error, where it disturbs no result."""
        try:
            with output_as_notes():
                return act()
        except (Exception, SystemExit) as error:
            self._run = None
            why = one_line(_without_secrets(f"{type(error).__name__}: {error}"))[:200]
            log.event("tracker", "warning", text=why)
            note(f"warning: {self._what} failed ({why}); the run goes on without it")
            return None


def metrics_of(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """The numbers of finished stages by STAGE/NAME/METRIC, and those of all heads on test prompts."""
    found: dict[str, float] = {}
    for outcome in outcomes:
        artifact = outcome.artifact
        if artifact is None:
            continue
        at = f"{outcome.node.stage}/{outcome.node.name}"
        found |= _numbers(artifact.manifest.metrics, at) | _numbers(artifact.manifest.counts, f"{at}/counts")
        if outcome.node.stage == EVAL_RM.name:
            for row in artifact.read("metrics").to_pylist():
                if row["split"] == "test" and row["kind"] == "head":
                    n = f"_{row['n']}" if row["n"] else ""
                    values = {"": row["value"], "/low": row["low"], "/high": row["high"]}
                    name = f"test/{row['arm']}/{row['metric']}{n}"
                    found |= {f"{name}{end}": value for end, value in values.items()}
    return {_UNFIT.sub("_", name): value for name, value in found.items() if math.isfinite(value)}


def _numbers(values: Any, at: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in values.items() if isinstance(values, Mapping) else ():
        if isinstance(value, Mapping):
            found |= _numbers(value, f"{at}/{name}")
        elif isinstance(value, int | float):
            found[f"{at}/{name}"] = float(value)
    return found


def shown_settings(settings: Settings) -> dict[str, Any]:
    """The settings by dotted name, as plain values, without secrets and without folders of this machine."""
    return _flat(without_folders(plain(settings.model_dump(mode="json"))))


def _flat(values: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        where = f"{at}.{name}" if at else str(name)
        if isinstance(value, Mapping) and value:
            found |= _flat(value, where)
        elif _SECRET.search(str(name)) and isinstance(value, str):
            found[where] = _HIDDEN
        else:
            found[where] = _scrubbed(value)
    return found


def _scrubbed(value: Any) -> Any:
    """The value without secrets, also in the overrides of arms, which are texts of a list."""
    if isinstance(value, list | tuple):
        return [_scrubbed(part) for part in value]
    if not isinstance(value, str):
        return value
    return _GIVEN_SECRET.sub(rf"\1{_HIDDEN}", _without_secrets(value))


def _without_secrets(text: str) -> str:
    """The text without the values of environment variables that are named as secrets are, and without the
    users and passwords of addresses."""
    for name, value in os.environ.items():
        if re.search(r"TOKEN|SECRET|PASSW|KEY|CREDENTIAL", name) and len(value) >= _SHORTEST:
            text = text.replace(value, _HIDDEN)
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)
