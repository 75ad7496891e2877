"""The report of a sweep as one self-contained HTML file: a figure and a table for each axis, and a table of
all combinations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from markupsafe import Markup

from rmlab.report.figures.svg import draw
from rmlab.report.render import fill
from rmlab.report.wording import interval, number
from rmlab.study.claims import Mean
from rmlab.study.page import SIZE, places_along
from rmlab.study.report_content import AboutSweep
from rmlab.study.sweep_means import METRICS, MOST, Place

_TEMPLATES = Path(__file__).parent / "templates"
N_LINES = 6  # in a figure: there are as many colours


@dataclass(frozen=True)
class AxisPart:
    """An axis, and a place for each value on it."""

    axis: str
    places: Sequence[Place]

    @property
    def reason(self) -> str:
        return next((place.reason for place in self.places if place.reason), "")


@dataclass(frozen=True)
class SweepContent(AboutSweep):
    """All that the page shows. places: every combination of the axes; controls: their best of all by name;
    failures: the number of cells that failed, by reason."""

    experiment: str
    parts: Sequence[AxisPart]
    places: Sequence[Place]
    controls: Mapping[str, float] = field(default_factory=dict)
    largest_n: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)

    @property
    def axes(self) -> list[str]:
        return [part.axis for part in self.parts]


def render(content: SweepContent) -> str:
    """The HTML of the page; equal content gives equal text."""
    figures = {part.axis: Markup(_figure(content, part, n)) for n, part in enumerate(content.parts)}
    lines = {part.axis: _lines(content, part)[0] for part in content.parts}
    return fill(
        "sweep.html.j2", _TEMPLATES, content=content, figures=figures, lines=lines, metrics=METRICS, most=MOST
    )


def _figure(content: SweepContent, part: AxisPart, n: int) -> str:
    shown = _lines(content, part)[1]
    if not shown:
        return ""
    texts = [
        f"{part.axis}={m.axes[part.axis]}: {number(m.effect.value)} {interval(m.effect.low, m.effect.high)}"
        for m in shown
    ]
    alt = f"Best of all along {part.axis}: {'; '.join(texts)}."
    paint = partial(places_along, x=part.axis, shown=shown, controls=content.controls)
    return draw(f"sweep-{n}", alt, SIZE, paint)


def _lines(content: SweepContent, part: AxisPart) -> tuple[str, list[Mean]]:
    """The axis whose values are the lines of a figure, and the points of the figure.

    With one other axis of few values each of its values is a line; else one line has the means over all other
    settings, and the axis is "".
    """
    others = [axis for axis in content.axes if axis != part.axis]
    if len(others) == 1 and len(content.places) <= MOST:
        along = [p for p in content.places if METRICS[0] in p.effects and part.axis in p.axes]
        if len({p.axes.get(others[0]) for p in along}) <= N_LINES:
            order = {place.axes[part.axis]: k for k, place in enumerate(part.places)}
            along.sort(key=lambda p: (str(p.axes.get(others[0])), order[p.axes[part.axis]]))
            return others[0], [Mean(p.axes, METRICS[0], p.effects[METRICS[0]]) for p in along]
    known = [p for p in part.places if METRICS[0] in p.effects]
    return "", [Mean(p.axes, METRICS[0], p.effects[METRICS[0]]) for p in known]
