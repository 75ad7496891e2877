"""The page of the stage frontier: the plane of golden reward over KL, and what each reward promised."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import pandas as pd
from markupsafe import Markup

from rmlab.report.figures import frontier as figures
from rmlab.report.render import fill
from rmlab.report.shown_arms import MARKERS, N_COLOURS, N_PANELS
from rmlab.report.wording import number

METHODS = {"best_of_n": "best-of-N", "soft_best_of_n": "soft best-of-N", "tilt": "tilt"}
REFERENCES = {
    "exact": "The samples were drawn at temperature 1 and top-p 1: they are the policy itself.",
    "truncated": "Reference: truncated. The samples were not drawn at temperature 1 and top-p 1, so KL is "
    "that from the truncated policy. Do not compare these curves with trained policies, whose KL is from the "
    "whole one.",
    "unknown": "Reference: unknown. The samples were imported without a record of how they were drawn. KL is "
    "that from whatever policy drew them; do not compare these curves with trained policies.",
}


@dataclass(frozen=True)
class Shown:
    """A reward with its style. rows, scores: its rows of the tables frontier and overoptimisation.

    is_rest: a head beyond those that have a colour and a panel of their own.
    """

    name: str
    is_head: bool
    is_rest: bool
    role: str
    marker: str
    rows: pd.DataFrame
    scores: pd.DataFrame

    def curve(self, method: str, is_half: bool = False) -> pd.DataFrame:
        """The points of a method in ascending order of KL, after the reference, by which all begin."""
        here = self.rows[self.rows["is_half"] == is_half]
        start = here[here["n"] == 1]
        mine = here[(here["method"] == method) & (here["n"] != 1)]
        return pd.concat([start, mine.sort_values("kl")]) if len(mine) else mine

    def gamma(self, method: str) -> str:
        """The over-optimisation score of a method, in words where there is none."""
        found = self.scores.loc[self.scores["method"] == method, "gamma"].dropna()
        return number(float(found.iloc[0]), 2) if len(found) else "undefined"

    def gamma_ends(self, method: str) -> tuple[float, float]:
        found = self.scores[self.scores["method"] == method]
        return (
            (float(found["low"].iloc[0]), float(found["high"].iloc[0]))
            if len(found)
            else (math.nan, math.nan)
        )


@dataclass(frozen=True)
class FrontierContent:
    """What the page shows.

    rows, scores: the tables FRONTIER and OVEROPTIMISATION; golden: name of the golden reward that judges;
    policy: what drew the samples; warnings: of the stage.
    """

    experiment: str
    golden: str
    policy: str
    rows: pd.DataFrame
    scores: pd.DataFrame
    warnings: list[str]

    @property
    def reference(self) -> str:
        return str(self.rows["reference"].iloc[0])

    @property
    def n_prompts(self) -> int:
        return int(self.rows["n_prompts"].max())

    @property
    def k(self) -> int:
        return int(self.rows.loc[~self.rows["is_half"], "k"].min())

    @cached_property
    def shown(self) -> list[Shown]:
        """The golden reward that judges, the others, then the heads."""
        found: list[Shown] = []
        for (name, kind), rows in self.rows.groupby(["arm", "kind"], sort=False):
            is_head = kind == "head"
            place = sum(s.is_head == is_head for s in found)
            is_rest = is_head and place >= N_PANELS
            role = f"series-{place % N_COLOURS + 1}" if is_head else "quiet"
            role = "quiet" if is_rest else "ink" if not is_head and name == self.golden else role
            marker = MARKERS[place % len(MARKERS)] if is_head else ""
            scores = self.scores[(self.scores["arm"] == name) & (self.scores["kind"] == kind)]
            found.append(Shown(str(name), is_head, is_rest, role, marker, rows, scores))
        return sorted(found, key=lambda s: s.is_head)

    @property
    def heads(self) -> list[Shown]:
        return [s for s in self.shown if s.is_head]

    @property
    def ceiling(self) -> Shown:
        """The golden reward that judges."""
        return next(s for s in self.shown if not s.is_head and s.name == self.golden)


def render_frontier(content: FrontierContent) -> str:
    """The HTML of the page; equal content gives equal text."""
    paneled = (content.heads or content.shown)[:N_PANELS]
    return fill(
        "frontier.html.j2",
        content=content,
        methods=METHODS,
        said_of_reference=REFERENCES[content.reference],
        plane=Markup(figures.plane(content)),
        plane_narrow=Markup(figures.plane(content, wide=False)),
        all_bands=all(figures.has_band(content, shown) for shown in content.shown),
        methods_panels=[Markup(figures.methods_of(content, s, i)) for i, s in enumerate(paneled)],
        promise_panels=[Markup(figures.promise_of(content, s, i)) for i, s in enumerate(paneled)],
        n_rest=max(0, len(content.heads) - N_PANELS),
        table=content.rows.to_dict("records"),
    )
