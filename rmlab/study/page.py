"""The report of a study as one self-contained HTML file, and its figures, some of them as PNG too."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from rmlab.report.figures.svg import COLOURS, draw, draw_png, label_rows
from rmlab.report.render import fill
from rmlab.report.shown_arms import MARKERS
from rmlab.report.wording import interval, number, shorten
from rmlab.storage.files import replacing
from rmlab.study.claims import Mean
from rmlab.study.effects import Effect
from rmlab.study.plan import ARM, is_at
from rmlab.study.report_content import Part, StudyContent
from rmlab.study.values import EXPECTED, METRICS
from rmlab.study.verdict import RULE, VERDICTS

if TYPE_CHECKING:  # the package of the figures is what imports matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TEMPLATES = Path(__file__).parent / "templates"
PICTURES = {"noise": "noise.png", "best_of_n": "best_of_n.png"}  # name of a finding -> file
SIZE = (720, 400)
AGAINST_N = "n"
# The oracle is only in the tables: on its scale the differences between heads would not be seen.
_CONTROLS = {
    "random": (1, 2),
    "length": (5, 2),
    "copying": (4, 2, 1, 2, 1, 2),
    "golden_regression": (6, 2, 1, 2),
}
_ROLES = {"supported": "series-1", "contradicted": "series-2", "negligible": "quiet", "undecided": "quiet"}
_NAMES = {
    ARM: "",
    "noise.error": "wrong answers of the annotator",
    "comparisons.n": "annotated comparisons",
    "pairing.choice": "pairs taken first",
}


def render(content: StudyContent) -> str:
    """The HTML of the page; equal content gives equal text."""
    drawn = {p.finding.name: Markup(figure(p)) for p in content.parts}
    forests = {p.finding.name: Markup(forest(p)) for p in content.parts}
    words = {"rule": RULE, "verdicts": VERDICTS, "metrics": METRICS}
    return fill("study.html.j2", _TEMPLATES, content=content, figures=drawn, forests=forests, **words)


def write_pictures(content: StudyContent, folder: Path) -> None:
    """Writes the PICTURES of the findings that were run."""
    for part in content.parts:
        if part.finding.name in PICTURES and _shown(part):
            with replacing(folder / PICTURES[part.finding.name]) as temporary, temporary.open("wb") as file:
                draw_png(file, SIZE, _painter(part))


def figure(part: Part) -> str:
    """The figure of a finding: its places along an axis, with intervals, beside the controls.

    It is empty if no cell has run.
    """
    if not _shown(part):
        return ""
    alt = f"{part.finding.title}: {_alt(_shown(part))}"
    return draw(f"study-{part.finding.name}", alt, SIZE, _painter(part))


def _painter(part: Part) -> partial[None]:
    return partial(_curves if part.finding.x == AGAINST_N else _places, part=part)


def _places(figure: Figure, part: Part) -> None:
    controls = {name: part.control(name, "best_of_largest") for name in _CONTROLS}
    known = {name: value for name, value in controls.items() if value is not None}
    places_along(figure, part.finding.x, [m for m in _shown(part) if part.finding.x in m.axes], known)


def places_along(figure: Figure, x: str, shown: Sequence[Mean], controls: Mapping[str, float]) -> None:
    """Draws means with intervals along the axis x, a line or a colour for each value of the other axes."""
    axes = figure.add_subplot()
    labels = list(dict.fromkeys(m.axes[x] for m in shown))
    numbers = [_number(label) for label in labels]
    is_line = len(labels) > 1 and all(math.isfinite(n) for n in numbers)
    places = dict(zip(labels, numbers if is_line else map(float, range(len(labels))), strict=True))
    series = _series(x, shown)
    width = 0.0 if is_line else 0.6 / max(1, len(series))
    for k, (name, found) in enumerate(series.items()):
        at = [places[m.axes[x]] + (k - (len(series) - 1) / 2) * width for m in found]
        _bars(axes, at, [m.effect for m in found], k, name if len(series) > 1 else "", is_line)
    for name, dashes in _CONTROLS.items():
        if name in controls:
            look: dict[str, Any] = {"color": COLOURS["quiet"], "linewidth": 1, "linestyle": (0, dashes)}
            axes.axhline(controls[name], label=name, **look)
    if is_line and min(numbers) >= 1 and max(numbers) / min(numbers) >= 8:
        axes.set_xscale("log")
    _ticks(axes, list(places.values()), [shorten(label, 20) for label in labels])
    if not is_line and len(labels) > 4:
        axes.tick_params(axis="x", labelrotation=20)
    _finish(axes, _NAMES.get(x, x), "best of all, deviations of golden")


def _bars(axes: Axes, at: list[float], effects: list[Effect], k: int, name: str, is_line: bool) -> None:
    ends = [[e.value - e.low for e in effects], [e.high - e.value for e in effects]]
    look: dict[str, Any] = {"color": COLOURS[f"series-{k % 6 + 1}"], "marker": MARKERS[k % 6]}
    look |= {"linestyle": "-" if is_line else "", "markersize": 5.5, "capsize": 2}
    axes.errorbar(at, [e.value for e in effects], yerr=ends, label=name or None, **look)


def _curves(figure: Figure, part: Part) -> None:
    """Draws the golden reward of the best of N (solid) and what the head predicts for it (dashed)."""
    axes = figure.add_subplot()
    largest = part.largest_n
    ends = {**{n: str(n) for n in (4, 16, 64, 256) if n < largest}, largest: "largest"}
    for k, name in enumerate(_series(part.finding.x, _shown(part))):
        role = f"series-{k % 6 + 1}"
        golden = {n: _at(part, name, f"best_of_{e}") for n, e in ends.items()}
        _curve(axes, golden, role, MARKERS[k % 6], "-", name)
        if part.finding.proxy:
            own = {n: _at(part, name, EXPECTED + e) for n, e in ends.items()}
            _curve(axes, own, role, "", "--", f"{name}, expected")
    for name, dashes in _CONTROLS.items():
        found = {n: part.control(name, f"best_of_{e}") for n, e in ends.items()}
        known = {n: value for n, value in found.items() if value is not None}
        if known:
            look: dict[str, Any] = {"color": COLOURS["quiet"], "linewidth": 1, "linestyle": (0, dashes)}
            axes.plot(list(known), list(known.values()), label=name, **look)
    axes.set_xscale("log", base=2)
    _ticks(axes, list(ends), [str(n) for n in ends])
    _finish(axes, "N, responses to choose from", "deviations of the golden reward")


def _curve(axes: Axes, means: dict[int, Mean | None], role: str, marker: str, style: Any, name: str) -> None:
    known = {n: m.effect for n, m in means.items() if m is not None}
    if not known:
        return
    colour, ns = COLOURS[role], list(known)
    width = 1.8 if marker else 1.0
    values = [e.value for e in known.values()]
    axes.plot(
        ns, values, color=colour, linestyle=style, label=name, marker=marker, markersize=5, linewidth=width
    )
    if marker:
        low, high = [e.low for e in known.values()], [e.high for e in known.values()]
        axes.fill_between(ns, low, high, color=colour, alpha=0.1, linewidth=0)


def _at(part: Part, name: str, metric: str) -> Mean | None:
    return next(iter(_series(part.finding.x, _shown(part, metric)).get(name, [])), None)


def _series(x: str, means: Sequence[Mean]) -> dict[str, list[Mean]]:
    """The lines of a figure: places that differ only in x, by a name made of their other axes."""
    axes = dict.fromkeys(axis for mean in means for axis in mean.axes if axis != x)
    varied = [axis for axis in axes if len({mean.axes.get(axis) for mean in means}) > 1]
    found: dict[str, list[Mean]] = {}
    for mean in means:
        name = " · ".join(_value(axis, mean.axes[axis]) for axis in varied if axis in mean.axes)
        found.setdefault(name or "heads", []).append(mean)
    return found


def _shown(part: Part, metric: str = "best_of_largest") -> list[Mean]:
    return [m for m in part.of(metric) if is_at(m.axes, part.finding.at)]


def _value(axis: str, value: str) -> str:
    """A value as a legend shows it: a number is preceded by the name of its axis."""
    return f"{axis.rpartition('.')[2]} {value}" if math.isfinite(_number(value)) else value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _ticks(axes: Axes, places: Sequence[float], labels: Sequence[str]) -> None:
    axes.set_xticks(places, labels)
    axes.set_xticks([], minor=True)


def _finish(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(axis="y")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=11)


def _alt(means: Sequence[Mean]) -> str:
    texts = (f"{' '.join(m.axes.values())} {number(m.effect.value)}" for m in means)
    return "; ".join(texts) + "."


def forest(part: Part) -> str:
    """A forest plot of the claims' effects; the range that is too small to matter is shaded."""
    known = [(j.claim.statement, j.effect) for j in part.judged if j.effect is not None]
    if not known:
        return ""
    texts = [f"{text} {number(e.value)} {interval(e.low, e.high)}" for text, e in known]
    size = (720, 70 + 34 * len(known))
    return draw(
        f"forest-{part.finding.name}", f"Effects: {'; '.join(texts)}.", size, partial(_forest, part=part)
    )


def _forest(figure: Figure, part: Part) -> None:
    axes = figure.add_subplot()
    known = [(j, j.effect) for j in part.judged if j.effect is not None]
    for place, (judged, found) in enumerate(known):
        colour, width = COLOURS[_ROLES[judged.verdict]], judged.claim.smallest
        axes.fill_betweenx([place - 0.4, place + 0.4], -width, width, color=COLOURS["grid"], linewidth=0)
        axes.plot([found.low, found.high], [place, place], color=colour, linewidth=2)
        axes.plot([found.value], [place], "o", color=colour, markersize=6)
    axes.axvline(0, color=COLOURS["quiet"], linewidth=1, linestyle="--")
    label_rows(axes, [shorten(j.claim.statement, 52) for j, _ in known])
    axes.set_xlabel("effect (shaded: too small to matter)")
